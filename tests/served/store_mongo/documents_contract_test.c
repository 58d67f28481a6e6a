#include "store.h"

static const struct documents_factory mongo = {store_migrated, dm_documents_free};

int main(void)
{
    return documents_contract_run("documents in MongoDB", &mongo);
}
