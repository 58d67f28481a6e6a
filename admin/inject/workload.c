#include "admin/inject/workload.h"

#include "base/assert.h"
#include "codec/yaml_edit.h"

#include "base/poison.h"

#define INJECT_LABEL DM_LIT("doorman.io/inject")

/* Where the pod template is. An object of another group with such a kind is not ours to know. */
static const struct kind {
    dm_view kind, group;
    dm_view path[4]; /* ends with an empty one */
    bool ends;       /* by itself: nobody sends it requests until its last moment */
} kinds[] = {
    {DM_LIT("Deployment"), DM_LIT("apps/"), {DM_LIT("spec"), DM_LIT("template")}, false},
    {DM_LIT("StatefulSet"), DM_LIT("apps/"), {DM_LIT("spec"), DM_LIT("template")}, false},
    {DM_LIT("DaemonSet"), DM_LIT("apps/"), {DM_LIT("spec"), DM_LIT("template")}, false},
    {DM_LIT("ReplicaSet"), DM_LIT("apps/"), {DM_LIT("spec"), DM_LIT("template")}, false},
    {DM_LIT("Pod"), DM_LIT("v1"), {DM_LIT("")}, false},
    {DM_LIT("Job"), DM_LIT("batch/"), {DM_LIT("spec"), DM_LIT("template")}, true},
    {DM_LIT("CronJob"),
     DM_LIT("batch/"),
     {DM_LIT("spec"), DM_LIT("jobTemplate"), DM_LIT("spec"), DM_LIT("template")},
     true},
};

/* --- faults and notes --- */

dm_view adm_text_of(const struct dm_yaml *map, dm_view key)
{
    const struct dm_yaml *n = map == NULL ? NULL : dm_yaml_member(map, key);
    return n == NULL || n->kind != DM_YAML_SCALAR ? DM_VIEW_NONE : n->text;
}

struct adm_object adm_object_of(const struct dm_yaml *object)
{
    const struct dm_yaml *meta = dm_yaml_member(object, DM_LIT("metadata"));
    dm_view name = adm_text_of(meta, DM_LIT("name"));
    if (name.len == 0)
        name = adm_text_of(meta, DM_LIT("generateName"));
    return (struct adm_object){adm_text_of(object, DM_LIT("kind")), name,
                               adm_text_of(meta, DM_LIT("namespace"))};
}

static const char merged[] = "a map with \"<<\" cannot be patched";
enum { SHOWN = 63 }; /* the longest name of most objects; a hostile one is cut */

enum dm_code adm_inject_refuse(struct adm_injection *in, const struct dm_yaml *object,
                               const struct dm_yaml *at, const char *why)
{
    const struct adm_object o = adm_object_of(object);
    return DM_FAIL(in->err, DM_INVALID, ERR_NONE, "%u:%u: %.*s/%.*s: %s", at->line, at->column,
                   DM_FMT(dm_utf8_cut(o.kind, SHOWN)), DM_FMT(dm_utf8_cut(o.name, SHOWN)), why);
}

/* Names come from the input: what a terminal would obey does not reach it. */
static void add_shown(struct dm_buf *out, dm_view text)
{
    text = dm_utf8_cut(text, SHOWN);
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char c = (unsigned char)text.ptr[i];
        dm_buf_add_byte(out, c > 0x20 && c < 0x7f ? (char)c : '?');
    }
}

void adm_inject_note(struct adm_injection *in, const struct dm_yaml *object, const char *what)
{
    const struct adm_object o = adm_object_of(object);
    if (in->notes == NULL)
        return;
    add_shown(in->notes, o.kind);
    dm_buf_add_byte(in->notes, '/');
    add_shown(in->notes, o.name);
    dm_buf_addf(in->notes, ": %s\n", what);
}

/* --- opening what is changed --- */

static enum dm_code full(struct adm_injection *in, const struct dm_yaml *at)
{
    return DM_FAIL(in->err, DM_LIMIT, ERR_NONE, "%u:%u: the document becomes too large", at->line,
                   at->column);
}

/* A map or list below `map`, made where there is none. Merge keys would hide from us what is
 * already there, so a map that has one is refused. NULL: a fault was told. */
static struct dm_yaml *open_child(struct adm_injection *in, const struct dm_yaml *object,
                                  struct dm_yaml *map, dm_view key, enum dm_yaml_kind kind)
{
    enum dm_code told;
    struct dm_yaml *n = dm_yaml_member(map, key);
    if (n == NULL || n->is_null) {
        n = dm_yaml_make(in->doc, kind);
        if (dm_yaml_put(in->doc, map, key, n)) {
            in->changed = true;
            n->line = map->line;
            n->column = map->column;
            return n;
        }
        told = full(in, map);
    } else if (n->kind != kind) {
        told = adm_inject_refuse(
            in, object, n, kind == DM_YAML_MAP ? "this must be a map" : "this must be a list");
    } else if (dm_yaml_member(n, DM_LIT("<<")) != NULL) {
        told = adm_inject_refuse(in, object, n, merged);
    } else {
        return n;
    }
    DM_ASSERT(told != DM_OK);
    return NULL;
}

static struct dm_yaml *find_named(const struct dm_yaml *list, dm_view name)
{
    struct dm_yaml *n = list->first;
    while (n != NULL && !dm_view_eq(adm_text_of(n, DM_LIT("name")), name))
        n = n->next;
    return n;
}

/* --- the parts --- */

/* What is there already is not copied again, so that a second run needs no more room. */
static enum dm_code place(struct adm_injection *in, struct dm_yaml *list,
                          const struct dm_yaml *item, bool first)
{
    struct dm_yaml *old = find_named(list, adm_text_of(item, DM_LIT("name")));
    if (old != NULL && dm_yaml_same(old, item))
        return DM_OK;
    in->changed = true;
    struct dm_yaml *copy = dm_yaml_copy(in->doc, item);
    const bool good =
        old != NULL ? dm_yaml_replace(list, old, copy) : dm_yaml_add(list, copy, first);
    return good ? DM_OK : full(in, list);
}

static enum dm_code put(struct adm_injection *in, struct dm_yaml *map, dm_view key,
                        const struct dm_yaml *value)
{
    const struct dm_yaml *old = dm_yaml_member(map, key);
    if (old != NULL && dm_yaml_same(old, value))
        return DM_OK;
    in->changed = true;
    return dm_yaml_put(in->doc, map, key, dm_yaml_copy(in->doc, value)) ? DM_OK : full(in, map);
}

static enum dm_code put_container(struct adm_injection *in, const struct dm_yaml *object,
                                  struct dm_yaml *spec)
{
    const bool native = in->parts->native;
    struct dm_yaml *list = open_child(
        in, object, spec, native ? DM_LIT("initContainers") : DM_LIT("containers"), DM_YAML_LIST);
    struct dm_yaml *other =
        dm_yaml_member(spec, native ? DM_LIT("containers") : DM_LIT("initContainers"));
    if (list == NULL)
        return DM_INVALID;
    struct dm_yaml *stale =
        other == NULL || other->kind != DM_YAML_LIST ? NULL : find_named(other, in->parts->name);
    if (stale != NULL) {
        dm_yaml_remove(other, stale);
        in->changed = true;
    }
    return place(in, list, in->parts->container, native);
}

static enum dm_code put_volumes(struct adm_injection *in, const struct dm_yaml *object,
                                struct dm_yaml *spec)
{
    struct dm_yaml *list = open_child(in, object, spec, DM_LIT("volumes"), DM_YAML_LIST);
    enum dm_code code = list == NULL ? DM_INVALID : DM_OK;
    for (const struct dm_yaml *v = in->parts->volumes->first; code == DM_OK && v != NULL;
         v = v->next)
        code = place(in, list, v, false);
    return code;
}

static enum dm_code put_all(struct adm_injection *in, const struct dm_yaml *object,
                            struct dm_yaml *meta, dm_view key, const struct dm_yaml *from)
{
    if (from == NULL)
        return DM_OK;
    struct dm_yaml *map = open_child(in, object, meta, key, DM_YAML_MAP);
    if (map == NULL)
        return DM_INVALID;
    enum dm_code code = DM_OK;
    for (const struct dm_yaml *n = from->first; code == DM_OK && n != NULL; n = n->next)
        code = put(in, map, n->key, n);
    return code;
}

/* --- the application's containers --- */

static bool same_port(const struct dm_yaml *ours, dm_view theirs)
{
    const struct dm_yaml *ports = dm_yaml_member(ours, DM_LIT("ports"));
    for (const struct dm_yaml *p = ports == NULL ? NULL : ports->first; p != NULL; p = p->next) {
        if (dm_view_eq(adm_text_of(p, DM_LIT("containerPort")), theirs))
            return true;
    }
    return false;
}

static enum dm_code check_ports(struct adm_injection *in, const struct dm_yaml *object,
                                const struct dm_yaml *container)
{
    const struct dm_yaml *ports = dm_yaml_member(container, DM_LIT("ports"));
    for (const struct dm_yaml *p = ports == NULL ? NULL : ports->first; p != NULL; p = p->next) {
        const dm_view port = adm_text_of(p, DM_LIT("containerPort"));
        if (port.len > 0 && same_port(in->parts->container, port))
            return adm_inject_refuse(in, object, p,
                                     "the application has a port of the sidecar; choose another "
                                     "with --port or --metrics-port");
    }
    return DM_OK;
}

static enum dm_code put_pre_stop(struct adm_injection *in, const struct dm_yaml *object,
                                 struct dm_yaml *container)
{
    struct dm_yaml *lifecycle = open_child(in, object, container, DM_LIT("lifecycle"), DM_YAML_MAP);
    if (lifecycle == NULL)
        return DM_INVALID;
    const struct dm_yaml *there = dm_yaml_member(lifecycle, DM_LIT("preStop"));
    if (there != NULL && !there->is_null)
        return DM_OK;
    return put(in, lifecycle, DM_LIT("preStop"), in->parts->pre_stop);
}

static enum dm_code adapt(struct adm_injection *in, const struct dm_yaml *object,
                          struct dm_yaml *containers, bool ends)
{
    for (struct dm_yaml *c = containers->first; c != NULL; c = c->next) {
        if (c->kind != DM_YAML_MAP || dm_yaml_member(c, DM_LIT("<<")) != NULL)
            return adm_inject_refuse(in, object, c, "a container must be a map without \"<<\"");
        if (dm_view_eq(adm_text_of(c, DM_LIT("name")), in->parts->name))
            continue;
        enum dm_code code = check_ports(in, object, c);
        if (code == DM_OK && !ends)
            code = put_pre_stop(in, object, c);
        if (code != DM_OK)
            return code;
    }
    return DM_OK;
}

/* --- the template --- */

/* By the label of the pod or of what makes it. */
static enum dm_code is_wanted(struct adm_injection *in, const struct dm_yaml *object,
                              const struct dm_yaml *holder, bool *ret)
{
    const struct dm_yaml *meta = dm_yaml_member(holder, DM_LIT("metadata"));
    const struct dm_yaml *labels = meta == NULL ? NULL : dm_yaml_member(meta, DM_LIT("labels"));
    const struct dm_yaml *label = labels == NULL ? NULL : dm_yaml_member(labels, INJECT_LABEL);
    *ret = true;
    if (label == NULL || dm_view_eq(label->text, DM_LIT("enabled")))
        return DM_OK;
    *ret = false;
    if (dm_view_eq(label->text, DM_LIT("disabled")))
        return DM_OK;
    return adm_inject_refuse(in, object, label, "doorman.io/inject is enabled or disabled");
}

/* For Services: whom they may select. */
static enum dm_code remember(struct adm_injection *in, const struct dm_yaml *object,
                             const struct dm_yaml *labels)
{
    if (in->pods_known)
        return DM_OK;
    struct dm_yaml *pod = dm_yaml_make(in->pods, DM_YAML_MAP);
    const dm_view space = adm_object_of(object).space;
    const bool good =
        pod != NULL &&
        dm_yaml_put(in->pods, pod, DM_LIT("namespace"), dm_yaml_make_text(in->pods, space, true)) &&
        dm_yaml_put(in->pods, pod, DM_LIT("labels"), dm_yaml_copy(in->pods, labels)) &&
        dm_yaml_add(dm_yaml_edit(in->pods), pod, true);
    return good ? DM_OK
                : DM_FAIL(in->err, DM_LIMIT, ERR_NONE, "%u:%u: too many workloads", labels->line,
                          labels->column);
}

static enum dm_code inject_template(struct adm_injection *in, const struct dm_yaml *object,
                                    struct dm_yaml *template, bool ends)
{
    if (ends && !in->parts->native)
        return adm_inject_refuse(in, object, object,
                                 "an ordinary container would keep it from ending: a native "
                                 "sidecar (Kubernetes 1.29) is needed");
    if (dm_yaml_member(template, DM_LIT("<<")) != NULL)
        return adm_inject_refuse(in, object, template, merged);
    struct dm_yaml *meta = open_child(in, object, template, DM_LIT("metadata"), DM_YAML_MAP);
    struct dm_yaml *spec =
        meta == NULL ? NULL : open_child(in, object, template, DM_LIT("spec"), DM_YAML_MAP);
    struct dm_yaml *containers =
        spec == NULL ? NULL : open_child(in, object, spec, DM_LIT("containers"), DM_YAML_LIST);
    if (containers == NULL)
        return DM_INVALID;
    if (containers->first == NULL)
        return adm_inject_refuse(in, object, containers, "it has no containers");
    enum dm_code code = adapt(in, object, containers, ends);
    if (code == DM_OK)
        code = put_container(in, object, spec);
    if (code == DM_OK)
        code = put_volumes(in, object, spec);
    if (code == DM_OK)
        code = put_all(in, object, meta, DM_LIT("annotations"), in->parts->annotations);
    if (code == DM_OK)
        code = put_all(in, object, meta, DM_LIT("labels"), in->parts->labels);
    if (code != DM_OK)
        return code;
    adm_inject_note(in, object, in->changed ? "the sidecar is in" : "the sidecar was in already");
    return remember(in, object, dm_yaml_member(meta, DM_LIT("labels")));
}

static const struct kind *kind_of(const struct dm_yaml *object)
{
    const dm_view name = adm_text_of(object, DM_LIT("kind"));
    const dm_view version = adm_text_of(object, DM_LIT("apiVersion"));
    for (size_t i = 0; i < DM_COUNT_OF(kinds); i++) {
        if (dm_view_eq(kinds[i].kind, name) && dm_view_starts(version, kinds[i].group))
            return &kinds[i];
    }
    return NULL;
}

enum dm_code adm_inject_workload(struct adm_injection *in, struct dm_yaml *object)
{
    const struct kind *kind = kind_of(object);
    struct dm_yaml *template = object;
    bool wanted;
    if (kind == NULL)
        return DM_OK;
    enum dm_code code = is_wanted(in, object, object, &wanted);
    for (size_t i = 0; i < DM_COUNT_OF(kind->path) && kind->path[i].len > 0; i++) {
        struct dm_yaml *below = dm_yaml_member(template, kind->path[i]);
        if (below == NULL || below->kind != DM_YAML_MAP)
            return adm_inject_refuse(in, object, below == NULL ? template : below,
                                     "it has no pod template");
        template = below;
    }
    if (code == DM_OK && wanted)
        code = is_wanted(in, object, template, &wanted);
    if (code != DM_OK)
        return code;
    if (!wanted) {
        adm_inject_note(in, object, "left alone, as its label says");
        return DM_OK;
    }
    const bool before = in->changed;
    in->changed = false;
    code = inject_template(in, object, template, kind->ends);
    in->changed |= before;
    return code;
}
