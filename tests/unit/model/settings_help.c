#include "settings_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_dir[] = "/tmp/doorman-settings-XXXXXX";
static char scratch_paths[64][sizeof(scratch_dir) + 48];
static size_t n_scratch;

static void remove_scratch(void)
{
    for (size_t i = 0; i < n_scratch; i++)
        (void)unlink(scratch_paths[i]);
    (void)rmdir(scratch_dir);
}

const char *scratch_file(const char *name, const char *text)
{
    if (n_scratch == 0) {
        assert_non_null(mkdtemp(scratch_dir));
        (void)atexit(remove_scratch);
    }
    char path[sizeof(scratch_paths[0])];
    (void)snprintf(path, sizeof(path), "%s/%s", scratch_dir, name);
    size_t at = 0;
    while (at < n_scratch && strcmp(scratch_paths[at], path) != 0)
        at++;
    assert_true(at < DM_COUNT_OF(scratch_paths));
    if (at == n_scratch)
        (void)snprintf(scratch_paths[n_scratch++], sizeof(path), "%s", path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    return scratch_paths[at];
}

uint64_t draw(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void loaded_bare(struct loaded *l, enum dm_role role)
{
    memset(l, 0, sizeof(*l));
    dm_buf_init(&l->faults, LOADED_TEXT_MAX);
    dm_buf_init(&l->warnings, LOADED_TEXT_MAX);
    dm_buf_init(&l->notes, LOADED_TEXT_MAX);
    l->in = (struct dm_settings_input){.role = role, .no_files = true, .notes = &l->notes};
}

void loaded_init(struct loaded *l, enum dm_role role)
{
    loaded_bare(l, role);
    loaded_env(l, "JWT_SECRET_KEY=a-test-key-of-more-than-32-characters");
    if (role == DM_ROLE_ALL)
        loaded_env(l, "DOORMAN_ADMIN_PASSWORD=a-password-of-this-test");
}

void loaded_env(struct loaded *l, const char *entry)
{
    size_t key = strcspn(entry, "=") + 1;
    for (size_t i = 0; i < l->n_env; i++) {
        if (strncmp(l->env[i], entry, key) == 0) {
            l->env[i] = entry;
            return;
        }
    }
    assert_true(l->n_env + 1 < LOADED_ENV_MAX);
    l->env[l->n_env++] = entry;
}

void loaded_file(struct loaded *l, const char *yaml)
{
    (void)snprintf(l->file, sizeof(l->file), "%s", scratch_file("doorman.yaml", yaml));
    l->in.config_file = l->file;
}

void loaded_run(struct loaded *l)
{
    dm_settings_unref(l->s);
    l->s = NULL;
    dm_buf_clear(&l->faults);
    dm_buf_clear(&l->warnings);
    dm_buf_clear(&l->notes);
    l->env[l->n_env] = NULL;
    l->in.environ_ = l->env;
    l->rc = dm_settings_load(&l->in, &l->s, &l->faults, &l->warnings);
    assert_true(dm_buf_ok(&l->faults) && dm_buf_ok(&l->warnings) && dm_buf_ok(&l->notes));
    assert_int_equal(l->rc == DM_OK, dm_buf_view(&l->faults).len == 0);
    assert_int_equal(l->rc == DM_OK, l->s != NULL);
}

void loaded_done(struct loaded *l)
{
    dm_settings_unref(l->s);
    dm_buf_done(&l->faults);
    dm_buf_done(&l->warnings);
    dm_buf_done(&l->notes);
}

size_t loaded_faults(const struct loaded *l)
{
    dm_view rest = dm_buf_view(&l->faults), line;
    size_t n = 0;
    while (dm_view_split(&rest, '\n', &line))
        n += line.len > 0;
    return n;
}

bool loaded_said(const struct dm_buf *where, const char *what)
{
    dm_view all = dm_buf_view(where);
    return dm_view_find(all, dm_view_of(what)) < all.len;
}

void loaded_expect_fault(const struct loaded *l, const char *what)
{
    if (!loaded_said(&l->faults, what))
        fail_msg("no fault says \"%s\"; faults:\n%.*s", what, DM_FMT(dm_buf_view(&l->faults)));
}

void loaded_expect_ok(const struct loaded *l)
{
    if (l->rc != DM_OK)
        fail_msg("faults:\n%.*s", DM_FMT(dm_buf_view(&l->faults)));
}
