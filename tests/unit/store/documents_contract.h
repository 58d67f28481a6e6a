/* What every backend of store/documents must do (documents_contract.c). A backend's test gives a
 * factory and runs it; the list is the same for all. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/documents.h"

struct documents_factory {
    struct dm_documents *(*open)(void); /* an empty store holding documents_uniques */
    void (*close)(struct dm_documents *d);
};
enum { DOCUMENTS_UNIQUES = 4 };
extern const struct dm_documents_unique documents_uniques[DOCUMENTS_UNIQUES];

int documents_contract_run(const char *name, const struct documents_factory *factory);

struct dm_json *documents_json(const char *text);
enum dm_code documents_insert(struct dm_documents *d, const char *collection, const char *text);
void documents_assert_json(const struct dm_json *j, const char *text);
