#include "admin/inject/parts.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "codec/yaml_edit.h"

#include "base/poison.h"

/* What helm/doorman/templates/_sidecar.tpl renders; a test compares the two. */

enum {
    TEXT_CAP = DM_YAML_BYTES_MAX,
    NATIVE_SINCE = 29, /* Kubernetes 1.29: restartPolicy of init containers is on */
    SLEEP_SINCE = 30,  /* 1.30: preStop has sleep, so images need none */
    GOING = 2          /* seconds before its end that a native sidecar closes connections */
};

enum { NATIVE = 1, ORDINARY = 2, SLEEP = 4, NO_SLEEP = 8, REDIS = 16, ADMIN = 32 };

static const struct piece {
    unsigned when; /* all of these; 0: always */
    const char *text;
} pieces[] = {
    {0, "container:\n"
        "- name: doorman-gateway\n"
        "  image: \"${image}\"\n"
        "  imagePullPolicy: ${pull_policy}\n"},
    {NATIVE, "  restartPolicy: Always\n"},
    {0, "  securityContext:\n"
        "    runAsNonRoot: true\n"
        "    runAsUser: 65532\n"
        "    runAsGroup: 65532\n"
        "    seccompProfile: {type: RuntimeDefault}\n"
        "    allowPrivilegeEscalation: false\n"
        "    capabilities: {drop: [ALL]}\n"
        "    readOnlyRootFilesystem: true\n"
        "  ports:\n"
        "  - {name: doorman, containerPort: ${port}, protocol: TCP}\n"
        "  - {name: metrics, containerPort: ${metrics_port}, protocol: TCP}\n"
        "  envFrom:\n"
        "  - configMapRef: {name: \"${static_config_map}\"}\n"
        "  env:\n"
        "  - {name: DOORMAN_CONFIG_FILE, value: /etc/doorman/config/doorman.yaml}\n"
        "  - {name: PORT, value: \"${port}\"}\n"
        "  - {name: THREADS, value: \"${threads}\"}\n"
        "  - {name: JWT_KEYS_FILE, value: /etc/doorman/secrets/jwt-keys}\n"
        "  - {name: POLICY_VERIFY_KEY_FILE, value: /etc/doorman/secrets/policy-verify-key}\n"},
    {REDIS, "  - {name: REDIS_PASSWORD_FILE, value: /etc/doorman/secrets/redis-password}\n"},
    {0, "  - {name: TOKEN_ENCRYPTION_KEY_FILE,"
        " value: /etc/doorman/secrets/token-encryption-key}\n"},
    {ADMIN, "  - {name: ADMIN_UPSTREAM_URL, value: \"${admin_url}\"}\n"},
    {0, "${env}"},
    {NATIVE, "  - {name: SHUTDOWN_DELAY_SECONDS, value: \"${delay}\"}\n"},
    {0, "  livenessProbe:\n"
        "    failureThreshold: 3\n"
        "    httpGet: {path: /platform/monitor/liveness, port: metrics}\n"
        "    initialDelaySeconds: 10\n"
        "    periodSeconds: 30\n"
        "    timeoutSeconds: 2\n"
        "  readinessProbe:\n"
        "    failureThreshold: 3\n"
        "    httpGet: {path: /platform/monitor/readiness, port: metrics}\n"
        "    initialDelaySeconds: 5\n"
        "    periodSeconds: 10\n"
        "    timeoutSeconds: 3\n"
        "  startupProbe:\n"
        "    failureThreshold: 60\n"
        "    httpGet: {path: /platform/monitor/${startup}, port: metrics}\n"
        "    periodSeconds: 1\n"
        "  lifecycle:\n"},
    {NATIVE, "    preStop: {exec: {command: [/usr/bin/doorman-gateway, drain]}}\n"},
    {ORDINARY | SLEEP, "    preStop: {sleep: {seconds: ${app_pre_stop}}}\n"},
    {ORDINARY | NO_SLEEP, "    preStop: {exec: {command: [/usr/bin/doorman-gateway, drain, --wait,"
                          " \"${app_pre_stop}\"]}}\n"},
    {0, "  resources:\n"
        "    limits: {cpu: \"${cpu_limit}\", memory: \"${memory_limit}\"}\n"
        "    requests: {cpu: \"${cpu_request}\", memory: \"${memory_request}\"}\n"
        "  volumeMounts:\n"
        "  - {name: doorman-config, mountPath: /etc/doorman/config, readOnly: true}\n"
        "  - {name: doorman-secrets, mountPath: /etc/doorman/secrets, readOnly: true}\n"
        "  - {name: doorman-data, mountPath: /var/lib/doorman}\n"
        "  - {name: doorman-scratch, mountPath: /tmp}\n"
        "volumes:\n"
        "- name: doorman-config\n"
        "  configMap: {name: \"${config_map}\"}\n"
        "- name: doorman-secrets\n"
        "  projected:\n"
        "    defaultMode: 292\n"
        "    sources:\n"
        "    - secret:\n"
        "        name: \"${secret}\"\n"
        "        items:\n"
        "        - {key: jwt-keys, path: jwt-keys}\n"
        "        - {key: token-encryption-key, path: token-encryption-key}\n"
        "        - {key: policy-verify-key, path: policy-verify-key}\n"},
    {REDIS, "    - secret:\n"
            "        name: \"${redis_secret}\"\n"
            "        items:\n"
            "        - {key: redis-password, path: redis-password}\n"},
    {0, "- {name: doorman-scratch, emptyDir: {}}\n"
        "- {name: doorman-data, emptyDir: {}}\n"
        "labels:\n"
        "  doorman.io/injected: \"true\"\n"
        "  doorman.io/release: \"${release}\"\n"
        "appLifecycle:\n"},
    {SLEEP, "  preStop: {sleep: {seconds: ${app_pre_stop}}}\n"},
    {NO_SLEEP, "  preStop: {exec: {command: [sleep, \"${app_pre_stop}\"]}}\n"},
    {0, "port: ${port}\n"},
};

/* ---- values ---- */

struct value {
    const char *name;
    const char *text; /* NULL: the number */
    uint64_t number;
};

enum { NAME_CAP = 300, PAIR_CAP = 48, N_VALUES = 20 };

/* What the options leave open, as the chart names it. */
struct names {
    char full[NAME_CAP], config_map[NAME_CAP], static_config_map[NAME_CAP], secret[NAME_CAP],
        redis_secret[NAME_CAP], admin_url[NAME_CAP * 2];
    char cpu[2][PAIR_CAP], memory[2][PAIR_CAP]; /* request, limit */
    struct value values[N_VALUES];
    size_t n;
};

static void name_of(char *out, const char *given, const char *full, const char *suffix)
{
    if (given != NULL)
        snprintf(out, NAME_CAP, "%s", given);
    else
        snprintf(out, NAME_CAP, "%s-%s", full, suffix);
}

/* doorman.fullname of the chart: 40 bytes, no dash at the end. */
static void full_name(char *out, const struct adm_parts_options *o)
{
    enum { LONGEST = 40 };
    if (o->name != NULL)
        snprintf(out, NAME_CAP, "%s", o->name);
    else if (strstr(o->release, "doorman") != NULL)
        snprintf(out, NAME_CAP, "%.*s", LONGEST, o->release);
    else
        snprintf(out, NAME_CAP, "%s-doorman", o->release);
    out[LONGEST] = '\0';
    const size_t len = strlen(out);
    if (out[len - 1] == '-')
        out[len - 1] = '\0';
}

static void pair_of(char out[2][PAIR_CAP], const char *pair)
{
    dm_view rest = dm_view_of(pair), half;
    for (size_t i = 0; i < 2 && dm_view_split(&rest, ':', &half); i++)
        snprintf(out[i], PAIR_CAP, "%.*s", DM_FMT(half));
}

static void add_text(struct names *n, const char *name, const char *text)
{
    n->values[n->n++] = (struct value){name, text, 0};
}

static void add_number(struct names *n, const char *name, uint64_t number)
{
    n->values[n->n++] = (struct value){name, NULL, number};
}

static void collect(struct names *n, const struct adm_parts_options *o)
{
    full_name(n->full, o);
    name_of(n->config_map, o->config_map, n->full, "config");
    name_of(n->static_config_map, o->static_config_map, n->full, "static");
    name_of(n->secret, o->secret, n->full, "gateway");
    name_of(n->redis_secret, o->redis_secret, n->full, "redis");
    snprintf(n->admin_url, sizeof(n->admin_url), "http://%s-admin:3001", n->full);
    pair_of(n->cpu, o->cpu);
    pair_of(n->memory, o->memory);
    add_text(n, "image", o->image);
    add_text(n, "pull_policy", o->pull_policy);
    add_text(n, "release", o->release);
    add_text(n, "config_map", n->config_map);
    add_text(n, "static_config_map", n->static_config_map);
    add_text(n, "secret", n->secret);
    add_text(n, "redis_secret", n->redis_secret);
    add_text(n, "admin_url", o->admin_url == NULL ? n->admin_url : o->admin_url);
    add_text(n, "cpu_request", n->cpu[0]);
    add_text(n, "cpu_limit", n->cpu[1]);
    add_text(n, "memory_request", n->memory[0]);
    add_text(n, "memory_limit", n->memory[1]);
    add_text(n, "startup", o->no_wait_for_ready ? "liveness" : "readiness");
    add_number(n, "port", o->port);
    add_number(n, "metrics_port", o->metrics_port);
    add_number(n, "threads", o->threads);
    add_number(n, "app_pre_stop", o->app_pre_stop);
    add_number(n, "delay", o->app_pre_stop > GOING ? o->app_pre_stop - GOING : 0);
}

/* ---- the text ---- */

static void add_quoted(struct dm_buf *out, dm_view text)
{
    dm_buf_add_byte(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7f)
            dm_buf_addf(out, "\\x%02x", c);
        else if (c == '"' || c == '\\')
            dm_buf_addf(out, "\\%c", c);
        else
            dm_buf_add_byte(out, (char)c);
    }
    dm_buf_add_byte(out, '"');
}

static void add_env(struct dm_buf *out, const struct adm_parts_options *o)
{
    for (size_t i = 0; i < o->n_env; i++) {
        dm_view value = dm_view_of(o->env[i]), name;
        dm_view_split(&value, '=', &name);
        dm_buf_addf(out, "  - name: \"%.*s\"\n    value: ", DM_FMT(name));
        add_quoted(out, dm_view_sub(dm_view_of(o->env[i]), name.len + 1, SIZE_MAX));
        dm_buf_add_byte(out, '\n');
    }
}

static void add_value(struct dm_buf *out, dm_view name, const struct names *n,
                      const struct adm_parts_options *o)
{
    if (dm_view_eq(name, DM_LIT("env"))) {
        add_env(out, o);
        return;
    }
    for (size_t i = 0; i < n->n; i++) {
        const struct value *v = &n->values[i];
        if (!dm_view_eq(name, dm_view_of(v->name)))
            continue;
        if (v->text == NULL)
            dm_buf_add_u64(out, v->number);
        else
            dm_buf_add(out, dm_view_of(v->text));
    }
}

static void expand(struct dm_buf *out, dm_view text, const struct names *n,
                   const struct adm_parts_options *o)
{
    while (text.len > 0) {
        const size_t at = dm_view_find(text, DM_LIT("${"));
        const size_t end = dm_view_find_byte(text, '}', at);
        dm_buf_add(out, dm_view_sub(text, 0, at));
        if (at == text.len)
            return;
        add_value(out, dm_view_sub(text, at + 2, end - at - 2), n, o);
        text = dm_view_sub(text, end + 1, text.len);
    }
}

static unsigned conditions(const struct adm_parts_options *o)
{
    const bool native = o->native || (o->kube_minor >= NATIVE_SINCE && !o->not_native);
    const bool redis = o->redis_secret == NULL || strcmp(o->redis_secret, "none") != 0;
    const bool admin = o->admin_url == NULL || strcmp(o->admin_url, "none") != 0;
    return (native ? NATIVE : ORDINARY) | (o->kube_minor >= SLEEP_SINCE ? SLEEP : NO_SLEEP) |
           (redis ? REDIS : 0u) | (admin ? ADMIN : 0u);
}

static void build(struct dm_buf *out, const struct adm_parts_options *o)
{
    const unsigned have = conditions(o);
    struct names n = {.n = 0};
    collect(&n, o);
    for (size_t i = 0; i < DM_COUNT_OF(pieces); i++) {
        if ((pieces[i].when & have) == pieces[i].when)
            expand(out, dm_view_of(pieces[i].text), &n, o);
    }
}

/* ---- the parts ---- */

static const struct dm_yaml *of_kind(const struct dm_yaml *n, enum dm_yaml_kind kind)
{
    return n != NULL && n->kind == kind ? n : NULL;
}

static const struct dm_yaml *part(const struct dm_yaml *root, dm_view key, enum dm_yaml_kind kind)
{
    return root == NULL ? NULL : of_kind(dm_yaml_member(root, key), kind);
}

static bool open_parts(struct adm_parts *p)
{
    const struct dm_yaml *root = dm_yaml_root(p->doc);
    const struct dm_yaml *list = part(root, DM_LIT("container"), DM_YAML_LIST);
    const struct dm_yaml *lifecycle = part(root, DM_LIT("appLifecycle"), DM_YAML_MAP);
    const struct dm_yaml *port = part(root, DM_LIT("port"), DM_YAML_SCALAR);
    uint64_t number;
    if (list == NULL || list->first == NULL || list->first->next != NULL || lifecycle == NULL ||
        port == NULL || !dm_parse_u64(port->text, UINT16_MAX, &number))
        return false;
    p->container = of_kind(list->first, DM_YAML_MAP);
    p->port = port->text;
    p->volumes = part(root, DM_LIT("volumes"), DM_YAML_LIST);
    p->labels = part(root, DM_LIT("labels"), DM_YAML_MAP);
    p->annotations = part(root, DM_LIT("annotations"), DM_YAML_MAP);
    p->pre_stop = part(lifecycle, DM_LIT("preStop"), DM_YAML_MAP);
    const struct dm_yaml *name = part(p->container, DM_LIT("name"), DM_YAML_SCALAR);
    const struct dm_yaml *restart = part(p->container, DM_LIT("restartPolicy"), DM_YAML_SCALAR);
    if (name == NULL || name->text.len == 0)
        return false;
    p->name = name->text;
    p->native = restart != NULL && dm_view_eq(restart->text, DM_LIT("Always"));
    return p->volumes != NULL && p->labels != NULL && p->pre_stop != NULL;
}

enum dm_code adm_parts_make(const struct adm_parts_options *o, struct adm_parts *ret,
                            struct dm_error *err)
{
    struct adm_parts p = {.doc = NULL};
    struct dm_error why;
    struct dm_buf text;
    if (o->native && o->not_native)
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "--native-sidecar and --no-native-sidecar exclude each other");
    if (o->sidecar.ptr != NULL && o->shaped)
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "--sidecar holds what the chart rendered: only --service and "
                       "--service-port go with it");
    dm_buf_init(&text, TEXT_CAP);
    if (o->sidecar.ptr == NULL)
        build(&text, o);
    enum dm_code code =
        dm_yaml_parse(o->sidecar.ptr == NULL ? dm_buf_view(&text) : o->sidecar, &p.doc, &why);
    dm_buf_done(&text);
    if (code != DM_OK)
        return DM_FAIL(err, code, ERR_NONE, "the sidecar's parts: %s", why.text);
    if (!open_parts(&p)) {
        dm_yaml_free(p.doc);
        return DM_FAIL(err, DM_INVALID, ERR_NONE,
                       "the sidecar's parts: container, volumes, labels, appLifecycle and port are "
                       "needed, as the chart's ConfigMap has them");
    }
    *ret = p;
    return DM_OK;
}

void adm_parts_done(struct adm_parts *p)
{
    dm_yaml_free(p->doc);
    p->doc = NULL;
}
