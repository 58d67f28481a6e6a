/* Workloads with the sidecar: what is patched, what is left alone, what is refused. That the parts
 * are the chart's is for tests/integration/test_inject.py. */
#include "kit.h"

#include "admin/inject/inject.h"
#include "codec/yaml_edit.h"

enum { NOTES = 64 * 1024 };

static struct adm_parts_options defaults(void)
{
    struct adm_parts_options o;
    adm_parts_defaults(&o);
    return o;
}

/* Ownership of the buffers moves to the caller. */
static enum dm_code inject(const char *text, const struct adm_parts_options *o, struct dm_buf *out,
                           struct dm_buf *notes, struct dm_error *err)
{
    dm_buf_init(out, ADM_INJECT_OUTPUT_MAX);
    dm_buf_init(notes, NOTES);
    return adm_inject(dm_view_of(text), o, out, notes, err);
}

static void assert_refused(const char *text, const struct adm_parts_options *o, const char *why)
{
    struct dm_buf out, notes;
    struct dm_error err = {0};
    enum dm_code code = inject(text, o, &out, &notes, &err);
    if (code == DM_OK || strstr(err.text, why) == NULL)
        fail_msg("%s\n%d: %s\nwant %s", text, code, err.text, why);
    dm_buf_done(&out);
    dm_buf_done(&notes);
}

/* The output, once more through it, for it must not change; free with dm_mem_free. */
static char *injected(const char *text, const struct adm_parts_options *o, const char *note)
{
    struct dm_buf out, notes, again;
    struct dm_error err = {0};
    if (inject(text, o, &out, &notes, &err) != DM_OK)
        fail_msg("%s\n%s", text, err.text);
    if (strstr(dm_buf_cstr(&notes), note) == NULL)
        fail_msg("%s\nnotes: %s\nwant %s", text, dm_buf_cstr(&notes), note);
    dm_buf_done(&notes);
    char *first = dm_buf_take(&out, NULL);
    assert_int_equal(inject(first, o, &again, &notes, &err), DM_OK);
    assert_string_equal(dm_buf_cstr(&again), first);
    dm_buf_done(&again);
    dm_buf_done(&notes);
    return first;
}

static void assert_holds(const char *text, const struct adm_parts_options *o, const char *want)
{
    char *got = injected(text, o, "");
    if (strstr(got, want) == NULL)
        fail_msg("%s\nlacks %s", got, want);
    dm_mem_free(got);
}

static void assert_untouched(const char *text, const char *note)
{
    const struct adm_parts_options o = defaults();
    char *got = injected(text, &o, note);
    assert_string_equal(got, text);
    dm_mem_free(got);
}

static size_t count(const char *text, const char *needle)
{
    size_t n = 0;
    for (const char *at = strstr(text, needle); at != NULL; at = strstr(at + 1, needle))
        n++;
    return n;
}

#define SPEC "{containers: [{name: app, image: i}]}"
#define ITEM "{apiVersion: v1, kind: Pod, spec: " SPEC "}"
#define POD "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: " SPEC "\n"

static void every_kind_gets_it_where_its_template_is(void **state)
{
    static const char *const kinds[][3] = {
        {"apps/v1", "Deployment", "{template: {spec: " SPEC "}}"},
        {"apps/v1", "StatefulSet", "{template: {spec: " SPEC "}}"},
        {"apps/v1", "DaemonSet", "{template: {spec: " SPEC "}}"},
        {"apps/v1", "ReplicaSet", "{template: {spec: " SPEC "}}"},
        {"v1", "Pod", SPEC},
        {"batch/v1", "Job", "{template: {spec: " SPEC "}}"},
        {"batch/v1", "CronJob", "{jobTemplate: {spec: {template: {spec: " SPEC "}}}}"},
    };
    const struct adm_parts_options o = defaults();
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(kinds); i++) {
        char text[400], note[60];
        snprintf(text, sizeof(text), "apiVersion: %s\nkind: %s\nmetadata: {name: n}\nspec: %s\n",
                 kinds[i][0], kinds[i][1], kinds[i][2]);
        snprintf(note, sizeof(note), "%s/n: the sidecar is in\n", kinds[i][1]);
        char *got = injected(text, &o, note);
        assert_int_equal(count(got, "name: doorman-gateway"), 1);
        assert_int_equal(count(got, "doorman.io/injected: 'true'"), 1);
        /* what ends by itself has no last request to wait for */
        const bool ends = strstr(kinds[i][1], "Job") != NULL;
        assert_int_equal(count(got, "sleep:"), ends ? 0 : 1);
        dm_mem_free(got);
    }
}

static void every_item_of_a_list_gets_it(void **state)
{
    const struct adm_parts_options o = defaults();
    (void)state;
    char *got = injected("apiVersion: v1\nkind: List\nitems:\n"
                         "- {apiVersion: v1, kind: Pod, spec: " SPEC "}\n"
                         "- {apiVersion: v1, kind: Pod, spec: " SPEC "}\n",
                         &o, "Pod/: the sidecar is in\nPod/: the");
    assert_int_equal(count(got, "name: doorman-gateway"), 2);
    dm_mem_free(got);
}

static void what_is_no_workload_keeps_every_byte(void **state)
{
    (void)state;
    assert_untouched(
        "# a comment\nkind: ConfigMap   # and one here\ndata: {a: 'x'}\n---\n---\n[1]\n"
        "--- just text\n",
        "no workload");
    assert_untouched("", "no workload");
    assert_untouched("apiVersion: apps.example.com/v1\nkind: Deployment\nspec: {}\n",
                     "no workload");
    assert_untouched("apiVersion: v1\nkind: List\nitems: {a: 1}\n", "no workload");
}

static void only_the_documents_that_change_are_written_anew(void **state)
{
    const struct adm_parts_options o = defaults();
    (void)state;
    char *got = injected("a: 1 # kept\n---\n" POD "---\nb: {c: 2} # kept too", &o, "Pod/p: ");
    assert_memory_equal(got, "a: 1 # kept\n---\napiVersion: v1\nkind: Pod\n", 41);
    assert_non_null(strstr(got, "\n---\nb: {c: 2} # kept too"));
    dm_mem_free(got);
}

static void a_label_keeps_it_out(void **state)
{
    const struct adm_parts_options o = defaults();
    (void)state;
    assert_untouched("apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: "
                     "{doorman.io/inject: disabled}}\nspec: " SPEC "\n",
                     "Pod/p: left alone, as its label says");
    assert_untouched("apiVersion: apps/v1\nkind: Deployment\nmetadata: {labels: "
                     "{doorman.io/inject: disabled}}\nspec: {template: {spec: " SPEC "}}\n",
                     "left alone");
    assert_untouched("apiVersion: apps/v1\nkind: Deployment\nspec: {template: {metadata: {labels: "
                     "{doorman.io/inject: disabled}}, spec: " SPEC "}}\n",
                     "left alone");
    assert_holds("apiVersion: v1\nkind: Pod\nmetadata: {labels: {doorman.io/inject: enabled}}\n"
                 "spec: " SPEC "\n",
                 &o, "doorman-gateway");
    assert_refused("apiVersion: v1\nkind: Pod\nmetadata: {labels: {doorman.io/inject: no}}\n"
                   "spec: " SPEC "\n",
                   &o, "3:40: Pod/: doorman.io/inject is enabled or disabled");
}

static void it_stands_before_other_init_containers(void **state)
{
    const struct adm_parts_options o = defaults();
    (void)state;
    assert_holds("apiVersion: v1\nkind: Pod\nspec: {initContainers: [{name: setup}], containers: "
                 "[{name: app}]}\n",
                 &o, "initContainers:\n  - name: doorman-gateway\n");
    /* null is as good as nothing */
    assert_holds("apiVersion: v1\nkind: Pod\nspec: {initContainers: ~, containers: [{name: a}]}\n",
                 &o, "initContainers:\n  - name: doorman-gateway\n");
}

static void a_pre_stop_of_the_application_stays(void **state)
{
    const struct adm_parts_options o = defaults();
    (void)state;
    char *got = injected("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n"
                         "  - {name: a, lifecycle: {preStop: {exec: {command: [x]}}}}\n"
                         "  - {name: b, lifecycle: {postStart: {exec: {command: [y]}}}}\n",
                         &o, "");
    assert_int_equal(count(got, "sleep:"), 1);
    assert_non_null(strstr(got, "postStart:\n        exec:\n          command:\n          - y\n"
                                "      preStop:\n        sleep:\n          seconds: 5\n"));
    dm_mem_free(got);
}

static void a_second_run_with_other_options_brings_it_up_to_date(void **state)
{
    struct adm_parts_options o = defaults();
    (void)state;
    char *first = injected(POD, &o, "");
    assert_int_equal(adm_parts_option(&o, "--image", "r/g:2", NULL), DM_OK);
    char *second = injected(first, &o, "");
    assert_int_equal(count(second, "name: doorman-gateway"), 1);
    assert_non_null(strstr(second, "image: 'r/g:2'"));
    /* from an init container to an ordinary one */
    assert_int_equal(adm_parts_option(&o, "--no-native-sidecar", NULL, NULL), DM_OK);
    char *third = injected(second, &o, "");
    assert_int_equal(count(third, "name: doorman-gateway"), 1);
    assert_non_null(strstr(third, "initContainers: []"));
    assert_int_equal(count(third, "- name: doorman-data"), 2); /* volume and mount */
    dm_mem_free(first);
    dm_mem_free(second);
    dm_mem_free(third);
}

/* As many pods as there is room for; the same room must do for them the second time. */
static void a_large_list_can_be_injected_twice(void **state)
{
    const struct adm_parts_options o = defaults();
    struct dm_buf text;
    (void)state;
    dm_buf_init(&text, 64 * 1024);
    dm_buf_add(&text, DM_LIT("apiVersion: v1\nkind: List\nitems:\n"));
    for (size_t i = 0; i < 80; i++)
        dm_buf_add(&text, DM_LIT("- " ITEM "\n"));
    char *got = injected(dm_buf_cstr(&text), &o, "");
    assert_int_equal(count(got, "name: doorman-gateway"), 80);
    dm_mem_free(got);
    dm_buf_done(&text);
}

static void what_has_it_already_keeps_every_byte(void **state)
{
    const struct adm_parts_options o = defaults();
    struct dm_buf text;
    (void)state;
    char *got = injected(POD, &o, "Pod/p: the sidecar is in\n");
    dm_buf_init(&text, 64 * 1024);
    dm_buf_addf(&text, "# by hand\n%s# to here\n", got);
    assert_untouched(dm_buf_cstr(&text), "Pod/p: the sidecar was in already\n");
    dm_mem_free(got);
    dm_buf_done(&text);
}

static void an_old_cluster_gets_an_ordinary_container(void **state)
{
    struct adm_parts_options o = defaults();
    (void)state;
    assert_int_equal(adm_parts_option(&o, "--kube-version", "v1.28.4", NULL), DM_OK);
    char *got = injected(POD, &o, "");
    assert_null(strstr(got, "restartPolicy"));
    assert_null(strstr(got, "initContainers"));
    assert_null(strstr(got, "SHUTDOWN_DELAY_SECONDS"));
    assert_non_null(strstr(got, "- sleep\n          - '5'\n"));
    assert_non_null(strstr(got, "- drain\n          - --wait\n          - '5'\n"));
    dm_mem_free(got);
    assert_refused(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: " SPEC
        "}}\n",
        &o, "1:1: Job/j: an ordinary container would keep it from ending");
    assert_int_equal(adm_parts_option(&o, "--native-sidecar", NULL, NULL), DM_OK);
    assert_holds(POD, &o, "restartPolicy: Always");
}

#define SERVICE                                                                                    \
    "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {app: a}\n  ports:\n"
#define LABELLED                                                                                   \
    "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: a, tier: b}}\n"             \
    "spec: " SPEC "\n"

static void a_service_is_turned_on_request_only(void **state)
{
    struct adm_parts_options o = defaults();
    (void)state;
    char *got = injected(SERVICE "  - {port: 80, targetPort: web}\n" LABELLED, &o,
                         "Service/s: goes past the sidecar still");
    assert_non_null(strstr(got, "{port: 80, targetPort: web}"));
    dm_mem_free(got);
    o.service = true;
    assert_holds(SERVICE "  - {port: 80, targetPort: web}\n" LABELLED, &o,
                 "  - port: 80\n    targetPort: 5001\n---\n");
    assert_holds(SERVICE "  - {port: 80}\n" LABELLED, &o, "  - port: 80\n    targetPort: 5001\n");
    assert_refused(SERVICE "  - {port: 80}\n  - {port: 81}\n" LABELLED, &o,
                   "7:3: Service/s: which of its ports?");
    assert_int_equal(adm_parts_option(&o, "--service-port", "81", NULL), DM_OK);
    assert_holds(SERVICE "  - {port: 80}\n  - {port: 81}\n" LABELLED, &o,
                 "  - port: 80\n  - port: 81\n    targetPort: 5001\n");
    assert_int_equal(adm_parts_option(&o, "--service-port", "web", NULL), DM_OK);
    assert_holds(SERVICE "  - {name: web, port: 80}\n" LABELLED, &o, "targetPort: 5001\n");
    assert_refused(SERVICE "  - {port: 80}\n" LABELLED, &o, "no such port");
}

static void a_service_of_others_is_left_alone(void **state)
{
    struct adm_parts_options o = defaults();
    (void)state;
    o.service = true;
    static const char *const others[] = {
        "spec: {selector: {app: other}, ports: [{port: 80}]}",
        "spec: {selector: {app: a, more: x}, ports: [{port: 80}]}",
        "spec: {selector: {}, ports: [{port: 80}]}",
        "spec: {ports: [{port: 80}]}",
        "spec: {clusterIP: None, selector: {app: a}, ports: [{port: 80}]}",
    };
    for (size_t i = 0; i < DM_COUNT_OF(others); i++) {
        char text[500];
        snprintf(text, sizeof(text), "apiVersion: v1\nkind: Service\n%s\n" LABELLED, others[i]);
        assert_refused(text, &o, "--service: no Service here selects");
    }
    assert_refused("apiVersion: v1\nkind: Service\nmetadata: {namespace: x}\n"
                   "spec: {selector: {app: a}, ports: [{port: 80}]}\n" LABELLED,
                   &o, "--service: no Service here selects");
}

static void what_cannot_be_patched_is_refused_with_its_place(void **state)
{
    static const char *const cases[][2] = {
        {"apiVersion: v1\nkind: Pod\nspec: {}\n", "3:7: Pod/: it has no containers"},
        {"apiVersion: v1\nkind: Pod\nspec: []\n", "3:7: Pod/: this must be a map"},
        {"apiVersion: v1\nkind: Pod\nspec: {containers: {}}\n", "this must be a list"},
        {"apiVersion: v1\nkind: Pod\nspec: {containers: [x]}\n", "a container must be a map"},
        {"apiVersion: v1\nkind: Pod\nspec: {volumes: x, containers: [{name: a}]}\n",
         "3:17: Pod/: this must be a list"},
        {"apiVersion: v1\nkind: Pod\nmetadata: {labels: x}\nspec: " SPEC "\n", "must be a map"},
        {"apiVersion: apps/v1\nkind: Deployment\nspec: {}\n", "3:7: Deployment/: it has no pod"},
        {"apiVersion: v1\nkind: Pod\nspec: {<<: {initContainers: [{name: x}]}, containers: "
         "[{name: a}]}\n",
         "a map with \"<<\" cannot be patched"},
        {"apiVersion: v1\nkind: Pod\n<<: {metadata: {}}\nspec: " SPEC "\n", "\"<<\""},
        {"apiVersion: v1\nkind: Pod\nspec: {containers: [{<<: {}, name: a}]}\n", "\"<<\""},
        {"apiVersion: v1\nkind: Pod\nspec: {containers: [{name: a, ports: [{containerPort: 5001}]"
         "}]}\n",
         "Pod/: the application has a port of the sidecar"},
        {"a: 1\n---\na: [\n", "4:1: "},
        {"a: 1\na: 2\n", "2:1: key \"a\" was given before"},
        {"a: !ruby/object x\n", "is not known"},
        {"%YAML 1.1\n---\na: 1\n", "1:"},
        {"a: 1\n...\nb: 2\n", "3:1: "},
        {"a: \xff\n", "not UTF-8"},
    };
    const struct adm_parts_options o = defaults();
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(cases); i++)
        assert_refused(cases[i][0], &o, cases[i][1]);
}

static void too_much_is_refused(void **state)
{
    const struct adm_parts_options o = defaults();
    struct dm_buf text;
    (void)state;
    dm_buf_init(&text, DM_YAML_BYTES_MAX + 10);
    for (size_t i = 0; i <= ADM_INJECT_DOCUMENTS_MAX; i++)
        dm_buf_add(&text, DM_LIT("---\n"));
    assert_refused(dm_buf_cstr(&text), &o, "1001:1: more than 1000 documents");
    while (dm_buf_view(&text).len <= DM_YAML_BYTES_MAX)
        dm_buf_add_byte(&text, '\n');
    assert_refused(dm_buf_cstr(&text), &o, "1:1: over 1048576 bytes");
    /* small documents that become large ones */
    dm_buf_clear(&text);
    for (size_t i = 0; i < ADM_INJECT_DOCUMENTS_MAX; i++)
        dm_buf_add(&text,
                   DM_LIT("---\n{apiVersion: v1, kind: List, items: [" ITEM "," ITEM "]}\n"));
    assert_refused(dm_buf_cstr(&text), &o, "over 4194304 bytes come of it");
    dm_buf_done(&text);
}

static void names_from_the_input_cannot_steer_a_terminal(void **state)
{
    const struct adm_parts_options o = defaults();
    (void)state;
    char *got =
        injected("apiVersion: v1\nkind: Pod\nmetadata: {name: \"a\\e[2J\\nb\"}\nspec: " SPEC "\n",
                 &o, "Pod/a?[2J?b: the sidecar is in\n");
    dm_mem_free(got);
}

static void options_are_checked(void **state)
{
    static const char *const bad[][2] = {
        {"--port", "0"},
        {"--port", "65536"},
        {"--port", "x"},
        {"--image", "a\" b"},
        {"--image", ""},
        {"--release", "A"},
        {"--cpu", "1"},
        {"--cpu", "1:"},
        {"--cpu", "1:2:3"},
        {"--env", "A"},
        {"--env", "1A=x"},
        {"--env", "A=\xff"},
        {"--kube-version", "2.1"},
        {"--kube-version", "1"},
        {"--threads", "65"},
        {"--app-pre-stop", "3601"},
        {"--name", NULL},
    };
    struct adm_parts_options o = defaults();
    struct dm_error err;
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(bad); i++) {
        assert_int_equal(adm_parts_option(&o, bad[i][0], bad[i][1], &err), DM_INVALID);
        assert_memory_equal(err.text, bad[i][0], strlen(bad[i][0]));
    }
    assert_int_equal(adm_parts_option(&o, "--bla", NULL, &err), DM_NOT_FOUND);
    for (size_t i = 0; i < ADM_PARTS_ENV_MAX; i++)
        assert_int_equal(adm_parts_option(&o, "--env", "A=b", &err), DM_OK);
    assert_int_equal(adm_parts_option(&o, "--env", "A=b", &err), DM_INVALID);
}

static void options_end_up_in_the_parts(void **state)
{
    static const char *const given[][3] = {
        {"--release", "shop", "doorman.io/release: 'shop'"},
        {"--release", "shop", "name: 'shop-doorman-static'"},
        {"--name", "n", "name: 'n-gateway'"},
        {"--config-map", "c", "configMap:\n      name: 'c'"},
        {"--static-config-map", "c", "configMapRef:\n        name: 'c'"},
        {"--secret", "c", "secret:\n          name: 'c'"},
        {"--redis-secret", "c", "secret:\n          name: 'c'"},
        {"--admin-url", "http://x:1", "value: 'http://x:1'"},
        {"--pull-policy", "Always", "imagePullPolicy: Always"},
        {"--port", "6001", "containerPort: 6001"},
        {"--metrics-port", "6002", "containerPort: 6002"},
        {"--threads", "3", "name: THREADS\n      value: '3'"},
        {"--cpu", "1:2", "limits:\n        cpu: '2'"},
        {"--memory", "1Mi:2Mi", "memory: '1Mi'"},
        {"--app-pre-stop", "1", "SHUTDOWN_DELAY_SECONDS\n      value: '0'"},
        {"--app-pre-stop", "9", "seconds: 9"},
        {"--no-wait-for-ready", NULL,
         "startupProbe:\n      failureThreshold: 60\n      httpGet:\n"
         "        path: /platform/monitor/liveness"},
        {"--env", "A=x: \"y\"\n#", "name: 'A'\n      value: |-\n        x: \"y\"\n        #\n"},
        {"--env", "A=${image}", "value: '${image}'"},
    };
    (void)state;
    for (size_t i = 0; i < DM_COUNT_OF(given); i++) {
        struct adm_parts_options o = defaults();
        assert_int_equal(adm_parts_option(&o, given[i][0], given[i][1], NULL), DM_OK);
        assert_holds(POD, &o, given[i][2]);
    }
    struct adm_parts_options o = defaults();
    o.redis_secret = o.admin_url = "none";
    char *got = injected(POD, &o, "");
    assert_null(strstr(got, "REDIS_PASSWORD_FILE"));
    assert_null(strstr(got, "redis-password"));
    assert_null(strstr(got, "ADMIN_UPSTREAM_URL"));
    dm_mem_free(got);
}

#define PARTS                                                                                      \
    "container: [{name: g, restartPolicy: Always}]\nvolumes: []\nlabels: {l: \"1\"}\n"             \
    "annotations: {sum: abc}\nappLifecycle: {preStop: {sleep: {seconds: 7}}}\nport: 7001\n"

static void parts_of_the_chart_are_taken_as_they_are(void **state)
{
    struct adm_parts_options o = defaults();
    (void)state;
    o.sidecar = DM_LIT(PARTS);
    o.service = true;
    char *got = injected(SERVICE "  - {port: 80}\n" LABELLED, &o, "");
    assert_non_null(strstr(got, "targetPort: 7001"));
    assert_non_null(strstr(got, "annotations:\n    sum: abc\n"));
    assert_non_null(strstr(got, "l: '1'"));
    assert_non_null(strstr(got, "seconds: 7"));
    dm_mem_free(got);
    o.service = false;
    assert_int_equal(adm_parts_option(&o, "--port", "1", NULL), DM_OK);
    assert_refused(POD, &o, "--sidecar holds what the chart rendered");
    static const char *const broken[] = {
        "",
        "x",
        "[]",
        "container: []",
        "container: [{name: g}, {name: h}]",
        "container: [{}]\nvolumes: []\nlabels: {}\nappLifecycle: {preStop: {}}\nport: 1\n",
        "container: [x]\nvolumes: []\nlabels: {}\nappLifecycle: {preStop: {}}\nport: 1\n",
        "container: [{name: g}]\nlabels: {}\nappLifecycle: {preStop: {}}\nport: 1\n",
        "container: [{name: g}]\nvolumes: []\nlabels: {}\nappLifecycle: {}\nport: 1\n",
        "container: [{name: g}]\nvolumes: []\nlabels: {}\nappLifecycle: {preStop: {}}\nport: p\n",
    };
    o = defaults();
    for (size_t i = 0; i < DM_COUNT_OF(broken); i++) {
        o.sidecar = dm_view_of(broken[i]);
        assert_refused(POD, &o, "the sidecar's parts: ");
    }
    o = defaults();
    o.native = o.not_native = true;
    assert_refused(POD, &o, "exclude each other");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_gets_it_where_its_template_is),
        cmocka_unit_test(every_item_of_a_list_gets_it),
        cmocka_unit_test(what_is_no_workload_keeps_every_byte),
        cmocka_unit_test(only_the_documents_that_change_are_written_anew),
        cmocka_unit_test(a_label_keeps_it_out),
        cmocka_unit_test(it_stands_before_other_init_containers),
        cmocka_unit_test(a_pre_stop_of_the_application_stays),
        cmocka_unit_test(a_second_run_with_other_options_brings_it_up_to_date),
        cmocka_unit_test(a_large_list_can_be_injected_twice),
        cmocka_unit_test(what_has_it_already_keeps_every_byte),
        cmocka_unit_test(an_old_cluster_gets_an_ordinary_container),
        cmocka_unit_test(a_service_is_turned_on_request_only),
        cmocka_unit_test(a_service_of_others_is_left_alone),
        cmocka_unit_test(what_cannot_be_patched_is_refused_with_its_place),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(names_from_the_input_cannot_steer_a_terminal),
        cmocka_unit_test(options_are_checked),
        cmocka_unit_test(options_end_up_in_the_parts),
        cmocka_unit_test(parts_of_the_chart_are_taken_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
