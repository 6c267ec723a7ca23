/* Chains on their way, from the ranks to the file of a job that may be stopped, and back. */
#include "sample_job.h"

#include <stdlib.h>
#include <string.h>

static void pack(const struct sample_job *job, size_t i)
{
    size_t image = job->model->image, x = image * sizeof(double);
    memcpy(job->flight, job->x + i * image, x);
    if (sample_flight_bytes(job) > x) memcpy(job->flight + x, job->records + i * job->record, job->record);
}

static void unpack(struct sample_job *job, size_t i)
{
    size_t image = job->model->image, x = image * sizeof(double);
    memcpy(job->x + i * image, job->flight, x);
    if (sample_flight_bytes(job) > x) memcpy(job->records + i * job->record, job->flight + x, job->record);
}

/* Collective. A batch that another job has begun, from rank 0 to this one. */
static enum iddpm_status take_chain(struct sample_job *job, int rank, struct batch batch,
                                    const struct sample_chain *chain)
{
    bool root = job->parallel->rank == 0, mine = job->parallel->rank == rank;
    for (int i = 0; i < batch.n; i++) {
        TRY(parallel_agree(job->parallel,
                           root ? sample_chains_read(job->chains, chain, (uint32_t)i, job->flight) : IDDPM_OK));
        TRY(parallel_broadcast(job->parallel, job->flight, sample_flight_bytes(job)));
        if (mine) unpack(job, (size_t)i);
    }
    return IDDPM_OK;
}

enum iddpm_status sample_take_chains(struct sample_job *job, uint64_t round)
{
    int ranks = job->batches.ranks;
    memset(job->done, 0, (size_t)ranks * sizeof *job->done);
    if (!job->options->part) return IDDPM_OK;
    for (int rank = 0; rank < ranks; rank++) {
        struct batch batch = batches_at(&job->batches, round, rank);
        const struct sample_chain *chain = NULL;
        if (job->chains) chain = sample_chains_find(job->chains, batch.first / (uint64_t)job->batches.batch);
        if (chain && chain->images == (uint32_t)batch.n && chain->steps < (uint32_t)job->steps)
            job->done[rank] = chain->steps;
        TRY(parallel_broadcast(job->parallel, &job->done[rank], sizeof *job->done));
        if (job->done[rank] > 0) TRY(take_chain(job, rank, batch, chain));
    }
    return IDDPM_OK;
}

/* Collective. Adds the batch of a rank to the file that rank 0 writes. */
static enum iddpm_status keep_chain(struct sample_job *job, struct sample_chains_writer *writer, int rank,
                                    struct batch batch)
{
    enum iddpm_status status = IDDPM_OK;
    bool root = job->parallel->rank == 0, mine = job->parallel->rank == rank;
    uint64_t index = batch.first / (uint64_t)job->batches.batch;
    if (root) status = sample_chains_batch(writer, index, (uint32_t)batch.n, job->done[rank]);
    for (int i = 0; i < batch.n; i++) {
        uint8_t *image;
        size_t bytes;
        TRY(parallel_agree(job->parallel, status));
        if (mine) pack(job, (size_t)i);
        TRY(parallel_collect(job->parallel, job->flight, mine ? sample_flight_bytes(job) : 0, &image, &bytes));
        if (root) status = sample_chains_image(writer, image);
        free(image);
    }
    return parallel_agree(job->parallel, status);
}

/* Collective. */
static enum iddpm_status write_chains(struct sample_job *job, uint64_t round, struct sample_chains_writer *writer)
{
    enum iddpm_status status = IDDPM_OK;
    for (int rank = 0; rank < job->batches.ranks; rank++) {
        struct batch batch = batches_at(&job->batches, round, rank);
        if (batch.n > 0 && job->done[rank] > 0) TRY(keep_chain(job, writer, rank, batch));
    }
    uint64_t next = batches_at(&job->batches, round + 1, 0).first / (uint64_t)job->batches.batch;
    if (writer) status = sample_chains_copy(writer, job->chains, next);
    return parallel_agree(job->parallel, status);
}

enum iddpm_status sample_keep_chains(struct sample_job *job, uint64_t round)
{
    bool root = job->parallel->rank == 0;
    double began = clock_seconds();
    struct sample_chains_writer *writer = NULL;
    watchdog_at("writing what is done", -1);
    enum iddpm_status status =
        parallel_agree(job->parallel, root ? sample_chains_begin(&writer, job->chains) : IDDPM_OK);
    if (status == IDDPM_OK) status = write_chains(job, round, writer);
    if (root) status = sample_chains_end(writer, job->chains, status);
    if (root && status == IDDPM_OK) status = sample_part_sync(job->samples->part);
    part_clock_wrote(&job->clock, began);
    return parallel_agree(job->parallel, status);
}
