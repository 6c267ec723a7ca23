/* What a job of samples does with its images besides drawing them, and the memory that it takes: one JSON line.
 * usage: bench_samples FOLDER IMAGES SIZE */
#include "../src/evaluate/sample.h"
#include "models.h"

#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3, BATCH = 16 };

struct job {
    char part[PATH_SIZE], npz[PATH_SIZE], png[PATH_SIZE];
    uint64_t images;
    int size;
    size_t record;
    struct store_attribute settings[1];
};

/* Seconds since *last, which is then now. */
static double lap(double *last)
{
    double before = *last;
    *last = clock_seconds();
    return *last - before;
}

static struct sample_part *open_part(const struct job *job)
{
    struct sample_part *part;
    bench_check(sample_part_open(&part, job->part, job->record, BATCH, job->images, 1, job->settings));
    return part;
}

static void append_all(const struct job *job)
{
    struct sample_part *part = open_part(job);
    uint8_t *record;
    bench_check(mem_alloc(&record, job->record, 1, "an image"));
    for (uint64_t i = 0; i < job->images; i++) {
        for (size_t k = 0; k < job->record; k += 16) record[k] = (uint8_t)(i * k >> 4);
        bench_check(sample_part_append(part, record));
    }
    bench_check(sample_part_sync(part));
    sample_part_close(part);
    free(record);
}

static void run(const struct job *job)
{
    uint64_t base = mem_peak_bytes(); /* program and libraries */
    double seconds[4], now = clock_seconds();
    samples_part_remove(job->part);
    append_all(job);
    seconds[0] = lap(&now);
    struct samples samples = {
        .images = job->images, .height = job->size, .width = job->size, .channels = CHANNELS, .part = open_part(job)};
    seconds[1] = lap(&now);
    bench_check(samples_write_npz(&samples, job->npz));
    seconds[2] = lap(&now);
    uint64_t peak = mem_peak_bytes() - base;
    bench_check(samples_write_png(&samples, job->png));
    seconds[3] = lap(&now);
    sample_part_close(samples.part);
    samples_part_remove(job->part);
    printf("{\"benchmark\": \"samples\", \"images\": %llu, \"size\": %d, \"bytes\": %llu, \"append_s\": %.3f, "
           "\"find_again_s\": %.3f, \"npz_s\": %.3f, \"png_s\": %.3f, \"bytes_in_memory\": %llu, "
           "\"bytes_in_memory_with_png\": %llu}\n",
           (unsigned long long)job->images, job->size, (unsigned long long)(job->images * job->record), seconds[0],
           seconds[1], seconds[2], seconds[3], (unsigned long long)peak, (unsigned long long)(mem_peak_bytes() - base));
}

int main(int argc, char **argv)
{
    struct job job = {.settings = {setting_text("benchmark", "samples")}};
    if (argc != 4 || (job.images = strtoull(argv[2], NULL, 10)) == 0 || (job.size = atoi(argv[3])) <= 0) {
        fprintf(stderr, "usage: %s FOLDER IMAGES SIZE\n", argv[0]);
        return 2;
    }
    job.record = (size_t)job.size * (size_t)job.size * CHANNELS;
    bench_check(path_make_folders(argv[1]));
    bench_check(path_join(job.part, argv[1], "samples.png.part"));
    bench_check(path_join(job.npz, argv[1], "samples.npz"));
    bench_check(path_join(job.png, argv[1], "samples.png"));
    run(&job);
    return 0;
}
