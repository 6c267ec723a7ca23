/* Private to src/evaluate: a job of samples, as drawing (sample_job.c) and keeping (sample_keep.c) see it. */
#ifndef IDDPM_EVALUATE_SAMPLE_JOB_H
#define IDDPM_EVALUATE_SAMPLE_JOB_H

#include "batches.h"
#include "sample.h"

struct sample_job {
    const struct parallel *parallel;
    struct model *model;
    const struct sample_options *options;
    struct batches batches;
    int steps;     /* of a chain */
    bool latents;  /* the result is x itself */
    size_t record; /* bytes that are kept of an image */
    /* Of this rank's batch: */
    double *x, *xstart; /* the latter only when it is asked for */
    uint8_t *records;   /* [batch][record] */
    int64_t *labels;
    double *low_res;
    uint8_t *pixels; /* of images to encode */
    /* Of a round: */
    uint32_t *done; /* [ranks] steps of each batch */
    uint8_t *base;  /* low-resolution images */
    /* Rank 0: */
    struct samples *samples;
    uint64_t images; /* finished */
    struct sample_chains *chains;
    struct part_clock clock;
    struct store_attribute settings[SAMPLE_SETTINGS];
    uint8_t *flight; /* every rank: room for an image on its way (flight_bytes) */
    struct log_progress progress;
};

/* Bytes of an image on its way: x, and what is kept already when that is more than the end. */
static inline size_t sample_flight_bytes(const struct sample_job *job)
{
    size_t x = job->model->image * sizeof(double);
    return sample_columns(job->options) > 1 ? x + job->record : x;
}

/* Collective. Takes what another job has left of a round's batches, and sets the steps that they have behind them. */
enum iddpm_status sample_take_chains(struct sample_job *job, uint64_t round);
/* Collective, in the middle of a round: writes its chains, and those of later batches that wait in the file. */
enum iddpm_status sample_keep_chains(struct sample_job *job, uint64_t round);

#endif
