#include "base/assert.h"
#include "base/log.h"
#include "io/offload.h"
#include "store/redis/live_redis_policy.h"

#include "base/poison.h"

/* The copy on disk: read once at the start where the store is away or empty, written after changes.
 * Files are touched by a thread of its own. */

enum { QUEUE = 2 /* one job at a time */, BOX = 4 };
static const dm_time WRITE_AFTER = DM_SEC; /* a burst of changes is one write */

struct live_lastgood {
    struct live_policy *policy;
    char *path;
    struct dm_offload *pool;
    struct dm_mailbox *box;
    struct dm_timer soon;
    bool busy, wanted, failed_before;
    struct dm_job job;
    struct dm_policy_copy *read; /* what a read gave; NULL: nothing */
    /* what a write holds on to */
    struct dm_policy_copy copy;
    struct live_blob **blobs;
    size_t n_blobs;
    enum dm_code code;
    struct dm_error err;
};

static struct live_lastgood *of_job(struct dm_job *j)
{
    return DM_CONTAINER_OF(j, struct live_lastgood, job);
}

/* --- reading --- */

static void read_work(struct dm_job *j)
{
    struct live_lastgood *g = of_job(j);
    g->code = dm_policy_copy_read(g->path, g->policy->hub->verifier, &g->read, &g->err);
}

static void take_over(struct live_policy *p, struct dm_policy_copy *c)
{
    struct live_policy_step step = {.generation = c->generation, .anew = true, .n = c->n_records};
    step.records = DM_TAKE(c->records);
    c->n_records = 0;
    step.current = live_blob_new(c->current, c->generation);
    step.manifest = live_blob_new(c->manifest, c->manifest_generation);
    step.deltas = dm_mem_array(c->n_deltas + 1, sizeof(struct live_blob *));
    step.n_deltas = c->n_deltas;
    for (size_t i = 0; i < c->n_deltas; i++)
        step.deltas[i] = live_blob_new(c->deltas[i], c->manifest_generation + i + 1);
    p->confirmed = dm_loop_now(live_policy_loop(p)); /* its age counts from here */
    live_policy_in_force(p, &step);
}

static void on_read(struct dm_job *j)
{
    struct live_lastgood *g = of_job(j);
    struct live_policy *p = g->policy;
    g->busy = false;
    if (g->code == DM_OK && p->generation == 0) {
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.from_file", DM_FC("file", g->path),
               DM_FI("generation", g->read->generation));
        take_over(p, g->read);
    } else if (g->code != DM_OK && g->code != DM_NOT_FOUND) {
        DM_LOG(DM_LOG_ERROR, DM_VIEW_NONE, "policy.file.refused", DM_FC("reason", g->err.text));
    }
    dm_policy_copy_free(DM_TAKE(g->read));
    if (g->wanted)
        live_lastgood_write(g);
    if (p->follow != NULL)
        live_follow_copy_read(p->follow);
}

void live_lastgood_read(struct live_lastgood *g)
{
    DM_REQUIRE(!g->busy);
    g->busy = true;
    g->job.work = read_work;
    g->job.on_done = on_read;
    DM_ASSERT(dm_offload_ask(g->pool, &g->job, g->box) == DM_OK);
}

/* --- writing --- */

static void write_work(struct dm_job *j)
{
    struct live_lastgood *g = of_job(j);
    g->code = dm_policy_copy_write(g->path, &g->copy, &g->err);
}

static void release(struct live_lastgood *g)
{
    for (size_t i = 0; i < g->copy.n_records; i++)
        dm_policy_record_unref(g->copy.records[i]);
    for (size_t i = 0; i < g->n_blobs; i++)
        live_blob_unref(g->blobs[i]);
    dm_mem_free(g->copy.records);
    dm_mem_free(g->copy.deltas);
    dm_mem_free(g->blobs);
    g->copy = (struct dm_policy_copy){0};
    g->blobs = NULL;
    g->n_blobs = 0;
}

static void on_written(struct dm_job *j)
{
    struct live_lastgood *g = of_job(j);
    g->busy = false;
    release(g);
    if (g->code != DM_OK && !g->failed_before)
        DM_LOG(DM_LOG_WARNING, DM_VIEW_NONE, "policy.file.not_written",
               DM_FC("reason", g->err.text));
    g->failed_before = g->code != DM_OK; /* said once, until it works again */
    if (g->wanted)
        live_lastgood_write(g);
}

static dm_view hold_blob(struct live_lastgood *g, struct live_blob *b)
{
    g->blobs[g->n_blobs++] = live_blob_ref(b);
    return live_blob_view(b);
}

/* Everything that is in force, as counted references: the loop goes on changing its table. */
static void hold(struct live_lastgood *g)
{
    const struct live_policy *p = g->policy;
    g->blobs = dm_mem_array(p->n_deltas + 2, sizeof(struct live_blob *));
    g->copy.deltas = dm_mem_array(p->n_deltas + 1, sizeof *g->copy.deltas);
    g->copy.current = hold_blob(g, p->current);
    g->copy.manifest = hold_blob(g, p->manifest);
    for (size_t i = 0; i < p->n_deltas; i++)
        g->copy.deltas[i] = hold_blob(g, p->deltas[i]);
    g->copy.n_deltas = p->n_deltas;
    g->copy.records = dm_policy_table_all(&p->table);
    g->copy.n_records = dm_policy_table_count(&p->table);
    for (size_t i = 0; i < g->copy.n_records; i++)
        (void)dm_policy_record_ref(g->copy.records[i]);
}

static void on_soon(struct dm_timer *t)
{
    struct live_lastgood *g = DM_CONTAINER_OF(t, struct live_lastgood, soon);
    const struct live_policy *p = g->policy;
    g->wanted = false;
    /* An object that ran ahead of its list has no hash yet that a reader could check it by. */
    if (p->generation == 0 || p->ahead > p->generation || p->manifest == NULL)
        return;
    g->busy = true;
    hold(g);
    g->job.work = write_work;
    g->job.on_done = on_written;
    DM_ASSERT(dm_offload_ask(g->pool, &g->job, g->box) == DM_OK);
}

void live_lastgood_write(struct live_lastgood *g)
{
    g->wanted = true;
    if (!g->busy && !dm_timer_running(&g->soon))
        dm_timer_start(live_policy_loop(g->policy), &g->soon, WRITE_AFTER);
}

/* --- birth and end --- */

struct live_lastgood *live_lastgood_new(struct live_policy *p, const char *path)
{
    struct live_lastgood *g = DM_NEW(struct live_lastgood);
    g->policy = p;
    g->path = dm_mem_text(dm_view_of(path));
    g->pool = dm_offload_new(1, QUEUE);
    g->box = dm_mailbox_new(live_policy_loop(p), BOX);
    dm_timer_init(&g->soon, on_soon);
    return g;
}

void live_lastgood_free(struct live_lastgood *g)
{
    if (g == NULL)
        return;
    g->wanted = false;
    dm_offload_free(g->pool); /* finishes what is queued */
    dm_mailbox_free(g->box);  /* and tells of it */
    dm_timer_stop(&g->soon);
    release(g);
    dm_mem_free(g->path);
    dm_mem_free(g);
}
