#include "programs/process/reload_run.h"

#include "base/log.h"
#include "programs/process/reload.h"
#include <string.h>

enum { TEXT_CAP = 1024 * 1024 }; /* all warnings, or all faults, of one configuration */

extern char **environ;

/* --- faults as the answer and the log want them --- */

static void on_fault(void *ctx, const struct dm_settings_fault *f)
{
    struct reload_run *run = ctx;
    struct dm_json *o = dm_json_new_object();

    dm_json_set_str(o, DM_LIT("key"), f->key);
    dm_json_set_str(o, DM_LIT("file"), f->file);
    dm_json_set_i64(o, DM_LIT("line"), f->line);
    dm_json_set_i64(o, DM_LIT("column"), f->column);
    dm_json_set_str(o, DM_LIT("reason"), f->reason);
    dm_json_set_str(o, DM_LIT("expected"), f->expected);
    dm_json_push(run->errors, o);
}

static void fault_of_keys(struct reload_run *run, dm_view line)
{
    const struct dm_settings_fault f = {
        .key = DM_LIT("JWT_KEYS"), .reason = line, .expected = DM_LIT("keys that can be used")};

    on_fault(run, &f);
}

/* --- keys --- */

enum dm_code reload_make_keys(const struct dm_settings *s, enum dm_role role,
                              struct dm_keyset **ret, struct dm_buf *faults)
{
    const struct dm_keyset_source source = {.jwt_keys = dm_secret_view(&s->jwt_keys),
                                            .secret = dm_secret_view(&s->jwt_secret_key),
                                            .private_pem = dm_secret_view(&s->jwt_private_key),
                                            .public_pem = s->jwt_public_key,
                                            .sidecar = role == DM_ROLE_GATEWAY};

    return dm_keyset_build(&source, ret, faults);
}

static bool keys_as_before(const struct reload_run *run)
{
    static const char *const keys[] = {"JWT_KEYS", "JWT_SECRET_KEY", "JWT_PRIVATE_KEY",
                                       "JWT_PUBLIC_KEY"};
    const dm_view list = dm_secret_view(&run->settings->jwt_keys);

    if (dm_view_find(list, DM_LIT("_path\"")) < list.len)
        return false; /* what the files hold may differ */
    for (size_t i = 0; i < DM_COUNT_OF(keys); i++) {
        if (!dm_settings_same(run->settings, run->current, dm_setting_find(dm_view_of(keys[i]))))
            return false;
    }
    return true;
}

static bool build_keys(struct reload_run *run)
{
    struct dm_buf faults;
    dm_view all, line;
    bool good;

    if (keys_as_before(run)) {
        run->new_keys = dm_keyset_ref(run->keys);
        return true;
    }
    dm_buf_init(&faults, TEXT_CAP);
    good = reload_make_keys(run->settings, run->role, &run->new_keys, &faults) == DM_OK;
    all = dm_buf_view(&faults);
    while (!good && dm_view_split(&all, '\n', &line)) {
        if (line.len > 0)
            fault_of_keys(run, line);
    }
    dm_buf_done(&faults);
    return good;
}

/* --- the run --- */

static bool load(struct reload_run *run)
{
    struct dm_buf faults;
    const struct dm_settings_input in = {.role = run->role,
                                         .environ_ = (const char *const *)environ,
                                         .config_file = run->config_file,
                                         .first = run->first,
                                         .on_fault = on_fault,
                                         .ctx = run};
    enum dm_code rc;

    dm_buf_init(&faults, TEXT_CAP);
    rc = dm_settings_load(&in, &run->settings, &faults, &run->warnings);
    dm_buf_done(&faults); /* on_fault heard them all */
    if (rc != DM_OK)
        run->settings = NULL;
    return rc == DM_OK;
}

static bool same_files(const struct dm_settings *a, const struct dm_settings *b)
{
    dm_view left, right;
    bool more = true, same = dm_view_eq(dm_settings_file(a), dm_settings_file(b));

    for (size_t i = 0; same && more; i++) {
        more = dm_settings_watched(a, i, &left);
        same = dm_settings_watched(b, i, &right) == more && (!more || dm_view_eq(left, right));
    }
    return same;
}

static void tell_sources(unsigned sources)
{
    if (sources & RELOAD_SIGHUP)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "SIGHUP received: reloading configuration...");
    if (sources & RELOAD_HTTP)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Configuration reload requested: source=http");
    if (sources & RELOAD_EVENT)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Configuration reload requested: source=event");
    if (sources & RELOAD_FILE)
        DM_LOG(DM_LOG_INFO, DM_VIEW_NONE, "Configuration reload requested: source=file");
}

void reload_run(struct reload_run *run)
{
    unsigned char digest[DM_SHA256_LEN];
    size_t n_rows;

    /* Before they are read: what is written meanwhile differs from it, and is noticed later. */
    dm_settings_digest(run->current, digest);
    if (run->sources == RELOAD_FILE && memcmp(digest, run->digest, sizeof digest) == 0) {
        run->outcome = RELOAD_UNCHANGED;
        return;
    }
    memcpy(run->digest, digest, sizeof digest);
    tell_sources(run->sources);
    dm_buf_init(&run->warnings, TEXT_CAP);
    run->errors = dm_json_new_array();
    run->outcome = RELOAD_FAILED;
    if (!load(run))
        return;
    dm_setting_rows(&n_rows);
    run->kept = dm_mem_array(n_rows, sizeof *run->kept);
    run->n_kept = dm_settings_keep_restart_only(run->settings, run->first, run->kept);
    if (!build_keys(run))
        return;
    run->other_files = !same_files(run->settings, run->current);
    run->outcome = RELOAD_LOADED;
}

void reload_run_done(struct reload_run *run)
{
    dm_settings_unref(run->settings);
    dm_keyset_unref(run->new_keys);
    dm_json_free(run->errors);
    dm_buf_done(&run->warnings);
    dm_mem_free(run->kept);
    run->settings = NULL;
    run->new_keys = NULL;
    run->errors = NULL;
    run->kept = NULL;
    run->n_kept = 0;
}
