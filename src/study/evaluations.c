/* What is measured on every point: the list `evaluate` of a study file. */
#include "file.h"
#include "names.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One element of the list as it is written. */
struct written {
    char *name, *data, *checkpoints;
    const yaml_node_t *respacing, *weights, *start_step;
    struct study_evaluation e;
    int line;
};

/* A list's elements, or one value, or (NULL) nothing at all. */
static int value_count(const yaml_node_t *node)
{
    if (!node || node->type != YAML_SEQUENCE_NODE) return 1;
    return (int)(node->data.sequence.items.top - node->data.sequence.items.start);
}

static enum iddpm_status value_at(const struct source *source, const yaml_node_t *node, int i, char **out)
{
    if (!node) return IDDPM_OK;
    if (node->type != YAML_SEQUENCE_NODE) return source_text(source, node, out);
    return source_text(source, yaml_document_get_node(source->document, node->data.sequence.items.start[i]), out);
}

static enum iddpm_status read_checkpoints(const struct source *source, struct written *w)
{
    const char *text = w->checkpoints ? w->checkpoints : w->e.kind == STUDY_NLL ? "all" : "last";
    w->e.checkpoints = strcmp(text, "last") == 0 ? 1 : 0;
    if (strcmp(text, "last") == 0 || strcmp(text, "all") == 0) return IDDPM_OK;
    if (text_integer(text, &w->e.checkpoints) && w->e.checkpoints >= 1) return IDDPM_OK;
    return source_error(source, w->line,
                        "evaluate.checkpoints: found '%.80s'; allowed are all, last, or a whole number of at least 1",
                        text);
}

static enum iddpm_status read_written(const struct source *source, const yaml_node_t *node, struct written *w)
{
    struct study_evaluation *e = &w->e;
    char *nll = NULL, *sample = NULL;
    struct field fields[] = {
        {"nll", FIELD_TEXT, &nll, 0, 0, 0},
        {"sample", FIELD_TEXT, &sample, 0, 0, 0},
        {"images", FIELD_INTEGER, &e->images, 0, 0, 0},
        {"respacing", FIELD_NODE, &w->respacing, 0, 0, 0},
        {"weights", FIELD_NODE, &w->weights, 0, 0, 0},
        {"checkpoints", FIELD_TEXT, &w->checkpoints, 0, 0, 0},
        {"seed", FIELD_INTEGER, &e->seed, -1, 0, 0},
        {"data", FIELD_TEXT, &w->data, 0, 0, 0},
        {"strata", FIELD_INTEGER, &e->strata, 0, 0, 0},
        {"ddim", FIELD_FLAG, &e->ddim, 0, 0, 0},
        {"eta", FIELD_NUMBER, &e->eta, 0, 1, 0},
        {"start_step", FIELD_NODE, &w->start_step, 0, 0, 0},
    };
    enum { OF_NLL = 7, OF_SAMPLE = 9, ALL = sizeof fields / sizeof *fields };
    e->seed = -1;
    enum iddpm_status status = fields_read(source, node, "evaluate.", ALL, fields);
    w->line = document_line(node);
    w->name = nll ? nll : sample;
    e->kind = nll ? STUDY_NLL : STUDY_SAMPLE;
    if (nll && sample) free(sample);
    TRY(status);
    if (!w->name || !*w->name || (nll && sample))
        return source_error(source, w->line, "evaluate: give each either nll: NAME or sample: NAME");
    for (int i = OF_NLL; i < ALL; i++) {
        bool fits = i < OF_SAMPLE ? e->kind == STUDY_NLL : e->kind == STUDY_SAMPLE;
        if (fields[i].line && !fits)
            return source_error(source, fields[i].line, "evaluate.%s: belongs to %s, not to %s", fields[i].name,
                                i < OF_SAMPLE ? "nll" : "sample", nll ? "nll" : "sample");
    }
    if (e->kind == STUDY_SAMPLE && e->images == 0) e->images = 64;
    if (e->eta != 0 && !e->ddim) return source_error(source, w->line, "evaluate.eta: belongs to ddim: true");
    return read_checkpoints(source, w);
}

/* ---- the evaluations that it makes ------------------------------------------------------------------------------- */

static enum iddpm_status expect_new_name(const struct source *source, const struct study *study,
                                         const struct written *w, const char *name)
{
    static const char *const taken[] = {"train", ".", ".."}; /* the task of a training; folders */
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(name, taken[i]) == 0)
            return source_error(source, w->line, "evaluate: %s cannot be a name: take another", name);
    for (int i = 0; i < study->n_evaluations - 1; i++)
        if (strcmp(study->evaluations[i].name, name) == 0)
            return source_error(source, w->line, "evaluate: two have the name %s", name);
    return IDDPM_OK;
}

/* The figures tell such samples by their name. */
static enum iddpm_status add_start_step(const struct source *source, const struct written *w, int i,
                                        struct study_evaluation *e)
{
    char *text = NULL;
    e->start_step = -1;
    TRY(value_at(source, w->start_step, i, &text));
    if (!text) return IDDPM_OK;
    bool fits = text_integer(text, &e->start_step) && e->start_step >= 0;
    if (fits) name_add(e->name, "start_step", text);
    enum iddpm_status status =
        fits ? IDDPM_OK
             : source_error(source, w->line,
                            "evaluate.start_step: found '%.80s'; allowed is a whole number of at least 0", text);
    free(text);
    return status;
}

static enum iddpm_status add_one(const struct source *source, struct study *study, const struct written *w, int r,
                                 int g, int s)
{
    struct study_evaluation *e = &study->evaluations[study->n_evaluations++];
    *e = w->e;
    TRY(value_at(source, w->respacing, r, &e->respacing));
    TRY(value_at(source, w->weights, g, &e->weights));
    if (!(e->data = mem_strdup(w->data ? w->data : "")))
        return iddpm_error(IDDPM_FAILED, "%s: no memory", source->name);
    name_add(e->name, "", w->name);
    if (value_count(w->respacing) > 1) name_add(e->name, "", *e->respacing ? e->respacing : "all");
    if (value_count(w->weights) > 1) name_add(e->name, "", e->weights);
    TRY(add_start_step(source, w, s, e));
    return expect_new_name(source, study, w, e->name);
}

static enum iddpm_status add_all(const struct source *source, struct study *study, const struct written *w)
{
    int respacings = value_count(w->respacing), weights = value_count(w->weights);
    int starts = value_count(w->start_step);
    size_t capacity = 0, added = (size_t)(respacings * weights * starts);
    struct study_evaluation *more = NULL;
    size_t old = (size_t)study->n_evaluations, new = old + added;
    TRY(mem_grow(&more, &capacity, new, sizeof *more, "evaluations of a study"));
    memset(more, 0, capacity * sizeof *more);
    if (old) memcpy(more, study->evaluations, old * sizeof *more);
    free(study->evaluations);
    study->evaluations = more;
    for (int r = 0; r < respacings; r++)
        for (int g = 0; g < weights; g++)
            for (int s = 0; s < starts; s++) TRY(add_one(source, study, w, r, g, s));
    return IDDPM_OK;
}

enum iddpm_status evaluations_read(const struct study_file *file, struct study *study)
{
    const yaml_node_t *list = file->evaluate;
    const struct source *source = &file->source;
    if (!list || document_is_null(list)) return IDDPM_OK;
    if (list->type != YAML_SEQUENCE_NODE)
        return source_error(source, document_line(list), "evaluate: found %.80s; allowed is a list",
                            document_found(list));
    for (yaml_node_item_t *item = list->data.sequence.items.start; item < list->data.sequence.items.top; item++) {
        struct written w = {0};
        enum iddpm_status status = read_written(source, yaml_document_get_node(source->document, *item), &w);
        if (status == IDDPM_OK) status = add_all(source, study, &w);
        free(w.name);
        free(w.data);
        free(w.checkpoints);
        TRY(status);
    }
    return IDDPM_OK;
}

void evaluations_free(struct study *study)
{
    for (int i = 0; i < study->n_evaluations; i++) {
        free(study->evaluations[i].data);
        free(study->evaluations[i].respacing);
        free(study->evaluations[i].weights);
    }
    free(study->evaluations);
}

/* ---- where and when ---------------------------------------------------------------------------------------------- */

int study_evaluation_steps(const struct study_point *point, const struct study_evaluation *evaluation, int64_t *steps)
{
    int all = point->n_saves, asked = (int)evaluation->checkpoints, n = 0;
    if (asked == 0 || asked >= all) {
        memcpy(steps, point->saves, (size_t)all * sizeof *steps);
        return all;
    }
    if (asked == 1) {
        steps[0] = point->saves[all - 1];
        return 1;
    }
    for (int i = 0; i < asked; i++) /* they are log-spaced, and so is every k-th of them */
        steps[n++] = point->saves[lround((double)i * (all - 1) / (asked - 1))];
    return n;
}

enum iddpm_status study_result_path(const struct study_point *point, const struct study_evaluation *evaluation,
                                    int64_t step, char *out)
{
    char folder[PATH_SIZE], name[STUDY_NAME + 64];
    bool nll = evaluation->kind == STUDY_NLL;
    TRY(path_join(folder, point->run, nll ? "nll" : "samples"));
    snprintf(name, sizeof name, "%s/step-%08lld.%s", evaluation->name, (long long)step, nll ? "h5" : "png");
    return path_join(out, folder, name);
}
