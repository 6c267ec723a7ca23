#include "metrics.h"
#include "lines.h"

#include "iddpm/kernels.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { FIELDS_MAX = METRIC_SLOTS + 16 };

/* One number of a line; NAN: not known, left out of JSON and empty in CSV. */
struct field {
    char name[32];
    double value;
};

static void add_field(struct field *fields, int *n, const char *name, double value)
{
    snprintf(fields[*n].name, sizeof fields[*n].name, "%s", name);
    fields[(*n)++].value = value;
}

static double mean(const struct train_state *state, int slot)
{
    return state->counts[slot] > 0 ? state->sums[slot] / state->counts[slot] : NAN;
}

/* In images. Left out where the signal's estimate drowns in its own noise. */
static double noise_scale(const struct train_state *state)
{
    double signal = mean(state, GRAD_SIGNAL_SLOT);
    return signal > 0 ? mean(state, GRAD_NOISE_SLOT) / signal : NAN;
}

/* The authors' keys (train_util.py, log_loss_dict and log_step), then ours. */
static int collect(const struct metrics *metrics, const struct train_state *state, int64_t batch,
                   const struct metrics_usage *usage, struct field *fields)
{
    static const char *const parts[TIME_PARTS] = {"compute", "communication", "data", "store"};
    static const char *const terms[TERMS] = {"loss", "mse", "vb"};
    int n = 0;
    double now = clock_seconds(), seconds = now - metrics->since;
    add_field(fields, &n, "step", (double)state->step);
    add_field(fields, &n, "samples", (double)(state->step * batch));
    for (int slot = 0; slot < TERM_SLOTS; slot++) {
        char name[32];
        int term = slot / (1 + QUARTILES), quartile = slot % (1 + QUARTILES) - 1;
        if (quartile < 0)
            snprintf(name, sizeof name, "%s", terms[term]);
        else
            snprintf(name, sizeof name, "%s_q%d", terms[term], quartile);
        add_field(fields, &n, name, mean(state, slot));
    }
    add_field(fields, &n, "grad_norm", mean(state, GRAD_NORM_SLOT));
    add_field(fields, &n, "param_norm", sqrt(sum_of_squares(state->flat, state->params)));
    add_field(fields, &n, "skipped", (double)state->skipped);
    add_field(fields, &n, "seconds", seconds);
    for (int i = 0; i < TIME_PARTS; i++) {
        char name[32];
        snprintf(name, sizeof name, "seconds_%s", parts[i]);
        add_field(fields, &n, name, usage->seconds[i]);
    }
    add_field(fields, &n, "images_per_s", (double)((state->step - metrics->since_step) * batch) / seconds);
    add_field(fields, &n, "peak_bytes", usage->peak_bytes);
    /* New fields come last: tables of older runs go on with them. */
    add_field(fields, &n, "ranks", usage->ranks);
    add_field(fields, &n, "grad_sq_small", mean(state, GRAD_SQ_SMALL_SLOT));
    add_field(fields, &n, "grad_sq_big", mean(state, GRAD_SQ_BIG_SLOT));
    add_field(fields, &n, "noise_scale", noise_scale(state));
    return n;
}

struct text {
    size_t length;
    char v[FIELDS_MAX * 2 * (sizeof((struct field *)0)->name + 24)];
};

static __attribute__((format(printf, 2, 3))) void put(struct text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    text->length += (size_t)vsnprintf(text->v + text->length, sizeof text->v - text->length, format, args);
    va_end(args);
}

static void put_heading(const struct field *fields, int n, struct text *csv)
{
    for (int i = 0; i < n; i++) put(csv, "%s%s", fields[i].name, i < n - 1 ? "," : "\n");
}

/* A whole line for each file; the heading of the table too when that is still empty. */
static void put_line(const struct field *fields, int n, bool heading, struct text *json, struct text *csv)
{
    if (heading) put_heading(fields, n, csv);
    for (int i = 0; i < n; i++) {
        if (isfinite(fields[i].value)) {
            put(json, "%s\"%s\": %.10g", i ? ", " : "{", fields[i].name, fields[i].value);
            put(csv, "%.10g", fields[i].value);
        }
        put(csv, i < n - 1 ? "," : "\n");
    }
    put(json, "}\n");
}

static enum iddpm_status append_both(const struct metrics *metrics, const struct field *fields, int n)
{
    struct text json = {0}, csv = {0};
    put_line(fields, n, lseek(fileno(metrics->csv), 0, SEEK_END) == 0, &json, &csv);
    const struct lines lines[] = {{"metrics.jsonl", fileno(metrics->json), json.v, json.length},
                                  {"progress.csv", fileno(metrics->csv), csv.v, csv.length}};
    return lines_append(2, lines);
}

enum iddpm_status metrics_write(const struct metrics *metrics, const struct train_state *state, int64_t batch,
                                const struct metrics_usage *usage)
{
    struct field fields[FIELDS_MAX];
    if (!metrics->json) return IDDPM_OK;
    return append_both(metrics, fields, collect(metrics, state, batch, usage, fields));
}

void metrics_begin(struct metrics *metrics, struct train_state *state)
{
    memset(state->sums, 0, sizeof state->sums);
    memset(state->counts, 0, sizeof state->counts);
    metrics->since = clock_seconds();
    metrics->since_step = state->step;
}

static enum iddpm_status open_one(struct owner *owner, FILE **out, const char *run, const char *name,
                                  const char *prefix, const char *heading, int64_t step)
{
    char path[PATH_SIZE];
    TRY(path_join(path, run, name));
    TRY(lines_cut_back(owner, path, prefix, heading, step, NULL));
    *out = fopen(path, "a");
    if (!*out) return iddpm_error(IDDPM_FAILED, "%s: cannot open: %s", path, strerror(errno));
    return IDDPM_OK;
}

enum iddpm_status metrics_open(struct metrics *metrics, struct owner *owner, const char *run, int64_t step)
{
    static const struct train_state none;
    struct field fields[FIELDS_MAX];
    struct text heading = {0};
    put_heading(fields, collect(metrics, &none, 0, &(struct metrics_usage){0}, fields), &heading);
    TRY(open_one(owner, &metrics->json, run, "metrics.jsonl", "{\"step\": ", NULL, step));
    return open_one(owner, &metrics->csv, run, "progress.csv", "", heading.v, step);
}

enum iddpm_status metrics_sync(struct metrics *metrics)
{
    if (metrics->json && (fsync(fileno(metrics->json)) != 0 || fsync(fileno(metrics->csv)) != 0))
        return iddpm_error(IDDPM_FAILED, "metrics.jsonl or progress.csv: cannot be brought to disk: %s",
                           strerror(errno));
    return IDDPM_OK;
}

void metrics_close(struct metrics *metrics)
{
    if (metrics->json) fclose(metrics->json);
    if (metrics->csv) fclose(metrics->csv);
    metrics->json = metrics->csv = NULL;
}
