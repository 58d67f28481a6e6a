#include "admin/inject/workload.h"
#include "codec/yaml_edit.h"

#include "base/poison.h"

/* Every pair of the selector is among the labels. */
static bool selects(const struct dm_yaml *selector, const struct dm_yaml *labels)
{
    for (const struct dm_yaml *s = selector->first; s != NULL; s = s->next) {
        const struct dm_yaml *l = dm_yaml_member(labels, s->key);
        if (l == NULL || l->kind != DM_YAML_SCALAR || s->kind != DM_YAML_SCALAR ||
            !dm_view_eq(l->text, s->text))
            return false;
    }
    return selector->first != NULL; /* without one it selects by itself nobody */
}

static bool selects_any(const struct adm_injection *in, const struct dm_yaml *object,
                        const struct dm_yaml *spec)
{
    const struct dm_yaml *selector = dm_yaml_member(spec, DM_LIT("selector"));
    if (selector == NULL || selector->kind != DM_YAML_MAP)
        return false;
    for (const struct dm_yaml *pod = dm_yaml_root(in->pods)->first; pod != NULL; pod = pod->next) {
        if (dm_view_eq(adm_text_of(pod, DM_LIT("namespace")), adm_object_of(object).space) &&
            selects(selector, dm_yaml_member(pod, DM_LIT("labels"))))
            return true;
    }
    return false;
}

/* The one to turn; NULL: not clear which. */
static struct dm_yaml *port_of(const struct adm_injection *in, const struct dm_yaml *ports)
{
    if (in->service_port == NULL)
        return ports->first != NULL && ports->first->next == NULL ? ports->first : NULL;
    const dm_view wanted = dm_view_of(in->service_port);
    struct dm_yaml *p = ports->first;
    while (p != NULL && !dm_view_eq(adm_text_of(p, DM_LIT("name")), wanted) &&
           !dm_view_eq(adm_text_of(p, DM_LIT("port")), wanted))
        p = p->next;
    return p;
}

static enum dm_code turn(struct adm_injection *in, struct dm_yaml *object, struct dm_yaml *port)
{
    if (!dm_yaml_put(in->doc, port, DM_LIT("targetPort"),
                     dm_yaml_make_text(in->doc, in->parts->port, false)))
        return DM_FAIL(in->err, DM_LIMIT, ERR_NONE, "%u:%u: the document becomes too large",
                       port->line, port->column);
    in->changed = true;
    in->n_turned++;
    adm_inject_note(in, object, "its targetPort is the sidecar's");
    return DM_OK;
}

enum dm_code adm_inject_service(struct adm_injection *in, struct dm_yaml *object)
{
    const struct dm_yaml *spec = dm_yaml_member(object, DM_LIT("spec"));
    if (!dm_view_eq(adm_text_of(object, DM_LIT("kind")), DM_LIT("Service")) ||
        !dm_view_eq(adm_text_of(object, DM_LIT("apiVersion")), DM_LIT("v1")) || spec == NULL ||
        !selects_any(in, object, spec))
        return DM_OK;
    const struct dm_yaml *ports = dm_yaml_member(spec, DM_LIT("ports"));
    if (dm_view_eq(adm_text_of(spec, DM_LIT("clusterIP")), DM_LIT("None"))) {
        adm_inject_note(in, object, "left alone: it is headless, clients choose the port");
        return DM_OK;
    }
    if (ports == NULL || ports->kind != DM_YAML_LIST)
        return adm_inject_refuse(in, object, spec, "it has no list of ports");
    struct dm_yaml *port = port_of(in, ports);
    if (port != NULL && port->kind == DM_YAML_MAP &&
        dm_view_eq(adm_text_of(port, DM_LIT("targetPort")), in->parts->port)) {
        in->n_turned++;
        return DM_OK;
    }
    if (!in->turn_services) {
        adm_inject_note(in, object, "goes past the sidecar still: --service turns its targetPort");
        return DM_OK;
    }
    if (port == NULL || port->kind != DM_YAML_MAP)
        return adm_inject_refuse(in, object, ports,
                                 in->service_port == NULL
                                     ? "which of its ports? --service-port NAME says"
                                     : "it has no such port as --service-port names");
    return turn(in, object, port);
}
