#include "admin/inject/parts.h"

#include <stddef.h>
#include <string.h>

#include "base/poison.h"

enum form { TEXT = 0, NUMBER, FLAG, VERSION, PAIR, ENV };

#define NAME_BYTES "abcdefghijklmnopqrstuvwxyz0123456789-."
#define WORD_BYTES NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

enum { PORT_MAX = 65535, SECONDS_MAX = 3600, THREADS_MAX = 64, MINOR_MAX = 1000 };

/* Every text ends up between quotes in YAML: `bytes` lets nothing through that could end them. */
struct option {
    const char *name;
    enum form form;
    size_t at;
    const char *bytes;    /* TEXT, PAIR: what it may consist of */
    uint64_t low, high;   /* NUMBER: its range; TEXT: its longest */
    bool of_the_workload; /* says something even where parts come from the chart */
};

#define AT(field) offsetof(struct adm_parts_options, field)
static const struct option options[] = {
    {"--release", TEXT, AT(release), NAME_BYTES, 0, 53, false},
    {"--name", TEXT, AT(name), NAME_BYTES, 0, 40, false},
    {"--config-map", TEXT, AT(config_map), NAME_BYTES, 0, 253, false},
    {"--static-config-map", TEXT, AT(static_config_map), NAME_BYTES, 0, 253, false},
    {"--secret", TEXT, AT(secret), NAME_BYTES, 0, 253, false},
    {"--redis-secret", TEXT, AT(redis_secret), NAME_BYTES, 0, 253, false},
    {"--image", TEXT, AT(image), WORD_BYTES "_/:@", 0, 500, false},
    {"--pull-policy", TEXT, AT(pull_policy), WORD_BYTES, 0, 20, false},
    {"--admin-url", TEXT, AT(admin_url), WORD_BYTES "_/:[]", 0, 500, false},
    {"--cpu", PAIR, AT(cpu), "0123456789.m:", 0, 40, false},
    {"--memory", PAIR, AT(memory), "0123456789.kKMGTi:", 0, 40, false},
    {"--port", NUMBER, AT(port), NULL, 1, PORT_MAX, false},
    {"--metrics-port", NUMBER, AT(metrics_port), NULL, 1, PORT_MAX, false},
    {"--threads", NUMBER, AT(threads), NULL, 1, THREADS_MAX, false},
    {"--app-pre-stop", NUMBER, AT(app_pre_stop), NULL, 0, SECONDS_MAX, false},
    {"--kube-version", VERSION, AT(kube_minor), NULL, 0, MINOR_MAX, false},
    {"--native-sidecar", FLAG, AT(native), NULL, 0, 0, false},
    {"--no-native-sidecar", FLAG, AT(not_native), NULL, 0, 0, false},
    {"--no-wait-for-ready", FLAG, AT(no_wait_for_ready), NULL, 0, 0, false},
    {"--env", ENV, 0, NULL, 0, 0, false},
    {"--service", FLAG, AT(service), NULL, 0, 0, true},
    {"--service-port", TEXT, AT(service_port), WORD_BYTES, 0, 63, true},
};

void adm_parts_defaults(struct adm_parts_options *o)
{
    *o = (struct adm_parts_options){.release = "doorman",
                                    .image = "doorman-gateway:" DOORMAN_VERSION,
                                    .pull_policy = "IfNotPresent",
                                    .cpu = "50m:1",
                                    .memory = "32Mi:128Mi",
                                    .port = 5001,
                                    .metrics_port = 9464,
                                    .threads = 1,
                                    .app_pre_stop = 5,
                                    .kube_minor = MINOR_MAX};
}

static const struct option *find(const char *name)
{
    for (size_t i = 0; i < DM_COUNT_OF(options); i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    }
    return NULL;
}

int adm_parts_option_values(const char *name)
{
    const struct option *option = find(name);
    return option == NULL ? -1 : option->form != FLAG;
}

static bool is_text(const struct option *option, const char *value)
{
    const size_t len = strlen(value);
    return len > 0 && len <= option->high && strspn(value, option->bytes) == len;
}

/* REQUEST:LIMIT */
static bool is_pair(const struct option *option, const char *value)
{
    dm_view rest = dm_view_of(value), request, limit, more;
    return is_text(option, value) && dm_view_split(&rest, ':', &request) &&
           dm_view_split(&rest, ':', &limit) && !dm_view_split(&rest, ':', &more) &&
           request.len > 0 && limit.len > 0;
}

/* 1.28, v1.28.3: the chart asks for the minor version only. */
static bool minor_of(const char *value, uint64_t *ret)
{
    dm_view rest = dm_view_of(value), major, minor;
    if (dm_view_starts(rest, DM_LIT("v")))
        rest = dm_view_sub(rest, 1, rest.len);
    return dm_view_split(&rest, '.', &major) && dm_view_eq(major, DM_LIT("1")) &&
           dm_view_split(&rest, '.', &minor) && dm_parse_u64(minor, MINOR_MAX, ret);
}

/* NAME=VALUE; the name as shells have it. */
static bool is_env(const char *value)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789";
    const size_t len = strspn(value, letters);
    return len > 0 && value[len] == '=' && !(value[0] >= '0' && value[0] <= '9') &&
           dm_utf8_valid(dm_view_of(value));
}

static bool take(struct adm_parts_options *o, const struct option *option, const char *value)
{
    void *field = (char *)o + option->at;
    uint64_t number = 0;
    switch (option->form) {
    case FLAG:
        *(bool *)field = true;
        return true;
    case NUMBER:
        if (!dm_parse_u64(dm_view_of(value), option->high, &number) || number < option->low)
            return false;
        *(uint64_t *)field = number;
        return true;
    case VERSION:
        return minor_of(value, field);
    case ENV:
        if (!is_env(value) || o->n_env == ADM_PARTS_ENV_MAX)
            return false;
        o->env[o->n_env++] = value;
        return true;
    case PAIR:
        if (!is_pair(option, value))
            return false;
        break;
    case TEXT:
        if (!is_text(option, value))
            return false;
    }
    *(const char **)field = value;
    return true;
}

static const char *wanted(const struct option *option)
{
    switch (option->form) {
    case NUMBER:
        return "a number in its range";
    case VERSION:
        return "a version such as 1.29";
    case PAIR:
        return "REQUEST:LIMIT, such as 50m:1 or 32Mi:128Mi";
    case ENV:
        return "NAME=VALUE, 64 times at most";
    default:
        return "letters, digits and few signs";
    }
}

enum dm_code adm_parts_option(struct adm_parts_options *o, const char *name, const char *value,
                              struct dm_error *err)
{
    const struct option *option = find(name);
    if (option == NULL)
        return DM_FAIL(err, DM_NOT_FOUND, ERR_NONE, "unknown argument \"%.64s\"", name);
    if (option->form != FLAG && value == NULL)
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "%s needs a value", name);
    if (!take(o, option, value))
        return DM_FAIL(err, DM_INVALID, ERR_NONE, "%s takes %s, not \"%.64s\"", name,
                       wanted(option), value);
    o->shaped |= !option->of_the_workload;
    return DM_OK;
}
