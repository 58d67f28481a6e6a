/* What a backend of documents provides. For the backends and the dispatch in documents.c only. */
#pragma once

#include "store/documents.h"

struct dm_documents_ops {
    enum dm_code (*find)(struct dm_documents *d, const char *collection,
                         const struct dm_filter *filters, size_t n_filters,
                         struct dm_json **ret_doc, uint64_t *ret_version, struct dm_error *err);
    enum dm_code (*list)(struct dm_documents *d, const char *collection, const struct dm_query *q,
                         struct dm_json **ret_array, struct dm_error *err);
    enum dm_code (*each)(struct dm_documents *d, const char *collection, dm_documents_each_fn fn,
                         void *ctx, struct dm_error *err);
    enum dm_code (*count)(struct dm_documents *d, const char *collection,
                          const struct dm_filter *filters, size_t n_filters, uint64_t *ret,
                          struct dm_error *err);
    enum dm_code (*insert)(struct dm_documents *d, const char *collection,
                           const struct dm_json *doc, struct dm_error *err);
    enum dm_code (*replace)(struct dm_documents *d, const char *collection,
                            const struct dm_filter *key, size_t n_key, uint64_t version,
                            const struct dm_json *doc, struct dm_error *err);
    enum dm_code (*remove)(struct dm_documents *d, const char *collection,
                           const struct dm_filter *filters, size_t n_filters, uint64_t *ret_deleted,
                           struct dm_error *err);
    enum dm_code (*ping)(struct dm_documents *d, struct dm_error *err);
    void (*free)(struct dm_documents *d);
};

struct dm_documents { /* first member of every backend's own struct */
    const struct dm_documents_ops *ops;
};
