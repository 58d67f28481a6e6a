/* Kubernetes Events about the pod that this process runs in (core/v1; operations.md §11.1): what
 * has to be seen by `kubectl get events`. Over TLS, the API server's certificate checked against
 * the CA and the address that the pod was given; the token is read anew for each, for the kubelet
 * renews it. One is on its way at a time and one more may wait; each is sent once. A failure is a
 * line of the log and a count, nothing else. The loop's thread, but for dm_kube_event_new. */
#pragma once

#include "base/error.h"
#include "io/loop.h"

struct dm_kube_events;
struct dm_kube_event;

/* Where Kubernetes mounts a service account: token, ca.crt, namespace. */
#define DM_KUBE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
/* Bytes of a message; longer ones are cut. As events.k8s.io/v1 allows for its note. */
enum { DM_KUBE_MESSAGE_MAX = 1024 };

struct dm_kube_config {
    struct dm_loop *loop;
    dm_view account;    /* the folder; DM_KUBE_ACCOUNT */
    dm_view host, port; /* KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT */
    dm_view pod, uid;   /* uid: empty where it is not known */
    dm_view program;    /* who says it */
    struct dm_metrics *metrics;
    size_t shard;
};
/* DM_UNAVAILABLE: there is no API server, or no account to speak to it as; err says what is
 * missing. Reads files. */
enum dm_code dm_kube_events_new(const struct dm_kube_config *c, struct dm_kube_events **ret,
                                struct dm_error *err) DM_MUST_USE;
/* What is under way is given up. NULL is fine. */
void dm_kube_events_free(struct dm_kube_events *k);

/* A Warning of that time. Reads files: any thread that may wait. Never NULL: what went wrong is
 * told when it is sent. reason: CamelCase. */
struct dm_kube_event *dm_kube_event_new(const struct dm_kube_events *k, const char *reason,
                                        dm_view message, dm_time wall);
void dm_kube_event_free(struct dm_kube_event *e);          /* one that was never sent */
dm_view dm_kube_event_body(const struct dm_kube_event *e); /* what is posted; borrowed */
/* Takes it, and does not wait. */
void dm_kube_events_send(struct dm_kube_events *k, struct dm_kube_event *e);
