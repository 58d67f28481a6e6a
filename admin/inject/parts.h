/* What is put into a pod template: container, volumes, labels, annotations, and the preStop of the
 * application's containers. Made from options, or read as the chart renders them (ConfigMap
 * <name>-sidecar). One thread. */
#pragma once

#include "codec/yaml.h"

enum { ADM_PARTS_ENV_MAX = 64 }; /* --env, far more than there are settings worth overriding */

/* Views into the command line; names and defaults as in the chart's values. */
struct adm_parts_options {
    const char *release, *name, *config_map, *static_config_map, *secret, *redis_secret;
    const char *image, *pull_policy, *cpu, *memory, *admin_url;
    uint64_t port, metrics_port, threads, app_pre_stop, kube_minor;
    bool native, not_native, no_wait_for_ready;
    const char *env[ADM_PARTS_ENV_MAX];
    size_t n_env;
    bool service; /* turn the targetPort of Services, too; the port with this name or number */
    const char *service_port;
    dm_view sidecar; /* parts as the chart renders them; the options above are for none, then */
    bool shaped;     /* one of those was given */
};

void adm_parts_defaults(struct adm_parts_options *o);
/* One option of the command line, value NULL for those without. DM_NOT_FOUND: no such option. */
enum dm_code adm_parts_option(struct adm_parts_options *o, const char *name, const char *value,
                              struct dm_error *err) DM_MUST_USE;
/* 1: the option wants a value; 0: it takes none; -1: no such option. */
int adm_parts_option_values(const char *name);

struct adm_parts {
    struct dm_yaml_doc *doc;                                          /* owns all below */
    const struct dm_yaml *container, *volumes, *labels, *annotations; /* annotations may be NULL */
    const struct dm_yaml *pre_stop;
    dm_view name, port; /* of the container; where clients call */
    bool native;        /* an init container that goes on running (Kubernetes 1.29) */
};

enum dm_code adm_parts_make(const struct adm_parts_options *o, struct adm_parts *ret,
                            struct dm_error *err) DM_MUST_USE;
void adm_parts_done(struct adm_parts *p);
