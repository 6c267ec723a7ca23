/* Private to src/train: RUN/metrics.jsonl and RUN/progress.csv, one line every log_interval steps, written by rank 0.
 */
#ifndef IDDPM_TRAIN_METRICS_H
#define IDDPM_TRAIN_METRICS_H

#include "owner.h"
#include "step.h"

struct metrics {
    FILE *json, *csv; /* NULL on ranks other than 0 */
    double since;     /* clock at the last line */
    int64_t since_step;
};

/* Rank 0 only. Opens both files for appending, cut back to lines of steps up to `step`, and with columns that the table
 * of an older program lacked; fails before either is replaced when the run has another owner. */
enum iddpm_status metrics_open(struct metrics *metrics, struct owner *owner, const char *run, int64_t step);
/* What the ranks used since the last line. */
struct metrics_usage {
    int ranks;
    double peak_bytes;          /* of the rank that has used most */
    double seconds[TIME_PARTS]; /* mean over ranks */
};
/* Writes a line where files are open, or nothing of it. `batch`: images of a step. */
enum iddpm_status metrics_write(const struct metrics *metrics, const struct train_state *state, int64_t batch,
                                const struct metrics_usage *usage);
/* Every rank, when a line stands: clears the sums. */
void metrics_begin(struct metrics *metrics, struct train_state *state);
/* On disk, before a checkpoint that counts on these lines is named. */
enum iddpm_status metrics_sync(struct metrics *metrics);
void metrics_close(struct metrics *metrics);

#endif
