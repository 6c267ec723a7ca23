/* The points of a study: every combination of its lists as a whole configuration, with what it costs. */
#include "points.h"
#include "names.h"

#include "networks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define POINTS_MAX 100000

/* Where a point stands in each list: those of grid, that of zip, seeds, budgets. */
struct place {
    int grid[64], zip, seed, amount;
};

struct making {
    const struct study_file *file;
    struct study *study;
    struct networks networks;
};

/* ---- counting over the lists ------------------------------------------------------------------------------------- */

static int length_of(const struct axis *axis)
{
    return axis->n > 0 ? axis->n : 1;
}

static int zip_length(const struct study_file *file)
{
    return file->n_zip > 0 ? file->zip[0].n : 1;
}

static enum iddpm_status count_points(const struct study_file *file, int *out)
{
    double n = (double)zip_length(file) * length_of(&file->seeds) * length_of(&file->amounts);
    if (file->n_grid > (int)(sizeof((struct place *)0)->grid / sizeof(int)))
        return source_error(&file->source, file->grid[0].line, "grid: more than 64 keys");
    for (int i = 0; i < file->n_grid; i++) n *= file->grid[i].n;
    if (n > POINTS_MAX)
        return source_error(&file->source, 1, "the lists make %.0f points, more than %d", n, POINTS_MAX);
    *out = (int)n;
    return IDDPM_OK;
}

/* The last list goes round first. */
static bool step_on(int *at, int length)
{
    if (++*at < length) return true;
    *at = 0;
    return false;
}

static void next_place(const struct study_file *file, struct place *place)
{
    if (step_on(&place->amount, length_of(&file->amounts))) return;
    if (step_on(&place->seed, length_of(&file->seeds))) return;
    if (step_on(&place->zip, zip_length(file))) return;
    for (int i = file->n_grid - 1; i >= 0; i--)
        if (step_on(&place->grid[i], file->grid[i].n)) return;
}

/* ---- a point ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status add_value(struct study_point *point, const struct axis *axis, int i)
{
    struct study_value *value = (struct study_value *)&point->values[point->n_values];
    *value = (struct study_value){axis->key, mem_strdup(axis->texts[i])};
    if (!value->text) return iddpm_error(IDDPM_FAILED, "%s: no memory for its value", axis->key);
    point->n_values++;
    if (axis->listed) name_add(point->name, axis->key, axis->texts[i]);
    return IDDPM_OK;
}

static enum iddpm_status take(const struct making *m, struct study_point *point, const struct axis *axis, int i)
{
    TRY(study_file_set(m->file, point->config, axis->line, axis->key, axis->texts[i]));
    return add_value(point, axis, i);
}

static enum iddpm_status take_values(const struct making *m, const struct place *place, struct study_point *point)
{
    const struct study_file *file = m->file;
    struct study_value *values;
    TRY(mem_alloc(&values, (size_t)(file->n_grid + file->n_zip + 2), sizeof *values, "values of a point"));
    point->values = values;
    for (int i = 0; i < file->n_grid; i++) TRY(take(m, point, &file->grid[i], place->grid[i]));
    for (int i = 0; i < file->n_zip; i++) TRY(take(m, point, &file->zip[i], place->zip));
    if (file->seeds.n > 0) TRY(take(m, point, &file->seeds, place->seed));
    if (file->amounts.n > 0) TRY(add_value(point, &file->amounts, place->amount));
    if (!*point->name) name_add(point->name, "", "point");
    return IDDPM_OK;
}

static enum iddpm_status set_integer(struct config *config, const char *key, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)value);
    return config_set(config, key, text);
}

/* The budget in steps. */
static enum iddpm_status find_steps(const struct making *m, const struct place *place, struct study_point *point)
{
    struct config *config = point->config;
    double amount = 0, batch = (double)config->train.batch_size, steps;
    int64_t own = config->train.total_steps ? config->train.total_steps : config->train.lr_anneal_steps;
    if (m->file->amounts.n > 0) text_number(m->file->amounts.texts[place->amount], &amount);
    steps = m->file->budget == BUDGET_STEPS    ? amount
            : m->file->budget == BUDGET_IMAGES ? ceil(amount / batch)
            : m->file->budget == BUDGET_FLOPS  ? round(amount / (6 * (double)point->macs * batch))
                                               : (double)own;
    if (steps < 1 && m->file->budget == BUDGET_FLOPS) steps = 1;
    if (steps < 1)
        return source_error(&m->file->source, 1, "budget: not set, and the base does not say train.total_steps");
    if (steps > UINT32_MAX)
        return source_error(&m->file->source, m->file->amounts.line, "budget: makes %.3g steps; the most are %u", steps,
                            UINT32_MAX);
    point->steps = (int64_t)steps;
    point->images = point->steps * config->train.batch_size;
    point->flops = 6 * (double)point->macs * (double)point->images;
    TRY(set_integer(config, "train.total_steps", point->steps));
    return config->train.lr_anneal_steps > 0 ? set_integer(config, "train.lr_anneal_steps", point->steps) : IDDPM_OK;
}

/* Log-spaced from the first to the whole budget; what falls together is one. */
static enum iddpm_status set_saves(const struct making *m, struct study_point *point)
{
    int n = (int)m->file->checkpoints;
    char list[STUDY_SAVES_MAX * 24] = "";
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        double share = n > 1 ? pow(m->file->first, 1 - (double)i / (n - 1)) : 1;
        int64_t step = llround(share * (double)point->steps), last = i ? point->saves[point->n_saves - 1] : 0;
        if (step <= last) continue;
        point->saves[point->n_saves++] = step;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%lld", used ? "," : "", (long long)step);
    }
    return config_set(point->config, "train.save_steps", list);
}

static enum iddpm_status count_network(struct making *m, struct study_point *point)
{
    struct net *net;
    TRY(networks_get(&m->networks, point->config, -1, 1, &net));
    point->parameters = net_parameters(net);
    point->macs = net_macs(net);
    return IDDPM_OK;
}

static enum iddpm_status make_point(struct making *m, const struct place *place, struct study_point *point)
{
    struct train_plan plan;
    TRY(study_file_config(m->file, &point->config));
    TRY(take_values(m, place, point));
    if (snprintf(point->run, PATH_SIZE, "%s/points/%s", m->study->folder, point->name) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "study: the path of the folder is too long");
    TRY(config_set(point->config, "run.dir", point->run));
    TRY(count_network(m, point));
    TRY(find_steps(m, place, point));
    TRY(set_saves(m, point));
    return train_plan(point->config, NULL, 0, 1, &plan);
}

static enum iddpm_status check_timesteps(const struct making *m, const struct study_point *point,
                                         const struct study_evaluation *e)
{
    const char *respacing = e->respacing ? e->respacing : point->config->diffusion.timestep_respacing;
    int count, steps = (int)point->config->diffusion.diffusion_steps;
    uint8_t *kept;
    TRY(mem_alloc(&kept, (size_t)steps, 1, "timesteps"));
    enum iddpm_status status = space_timesteps(steps, respacing, kept, &count);
    free(kept);
    if (status != IDDPM_OK) return source_error(&m->file->source, 1, "evaluate: %s: %s", e->name, iddpm_error_text());
    if (e->start_step < count) return IDDPM_OK;
    return source_error(&m->file->source, 1, "evaluate: %s: start_step: the timesteps of this chain are 0 to %d",
                        e->name, count - 1);
}

static enum iddpm_status check_evaluations(const struct making *m, const struct study_point *point)
{
    for (int i = 0; i < m->study->n_evaluations; i++) {
        const struct study_evaluation *e = &m->study->evaluations[i];
        if (e->kind == STUDY_NLL && !*e->data && !*point->config->data.eval_path)
            return source_error(&m->file->source, 1,
                                "evaluate: %s: of which images? Give data, or data.eval_path in the base", e->name);
        TRY(check_timesteps(m, point, e));
    }
    return IDDPM_OK;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct study_point *const *p = a, *const *q = b;
    return strcmp((*p)->name, (*q)->name);
}

static enum iddpm_status expect_different_names(const struct making *m)
{
    int n = m->study->n_points;
    const struct study_point **sorted;
    TRY(mem_alloc(&sorted, (size_t)n, sizeof *sorted, "names of points"));
    for (int i = 0; i < n; i++) sorted[i] = &m->study->points[i];
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    enum iddpm_status status = IDDPM_OK;
    for (int i = 1; i < n && status == IDDPM_OK; i++)
        if (strcmp(sorted[i]->name, sorted[i - 1]->name) == 0)
            status = source_error(&m->file->source, 1, "two points would both be %s: say each value once in its list",
                                  sorted[i]->name);
    free(sorted);
    return status;
}

enum iddpm_status points_make(const struct study_file *file, struct study *study)
{
    struct making m = {.file = file, .study = study};
    struct place place = {0};
    TRY(count_points(file, &study->n_points));
    TRY(mem_alloc(&study->points, (size_t)study->n_points, sizeof *study->points, "points of a study"));
    enum iddpm_status status = IDDPM_OK;
    for (int i = 0; i < study->n_points && status == IDDPM_OK; i++, next_place(file, &place)) {
        status = make_point(&m, &place, &study->points[i]);
        if (status == IDDPM_OK) status = check_evaluations(&m, &study->points[i]);
        if (status != IDDPM_OK && strncmp(iddpm_error_text(), file->source.name, strlen(file->source.name)) != 0)
            iddpm_error_context(status, "%s: point %s", file->source.name, study->points[i].name);
    }
    networks_free(&m.networks);
    return status == IDDPM_OK ? expect_different_names(&m) : status;
}

void points_free(struct study *study)
{
    for (int i = 0; study->points && i < study->n_points; i++) {
        struct study_point *point = &study->points[i];
        for (int k = 0; k < point->n_values; k++) free((char *)point->values[k].text);
        free((struct study_value *)point->values);
        config_destroy(point->config);
    }
    free(study->points);
}
