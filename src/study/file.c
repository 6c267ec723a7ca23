/* Reads a study file: its keys, the base configuration, and lists of values, each of which the configuration takes. */
#include "file.h"

#include <stdlib.h>
#include <string.h>

#define STUDY_FILE_MAX ((size_t)1 << 16)

/* ---- values ------------------------------------------------------------------------------------------------------ */

enum iddpm_status study_file_set(const struct study_file *file, struct config *config, int line, const char *key,
                                 const char *text)
{
    if (config_set(config, key, text) == IDDPM_OK) return IDDPM_OK;
    return source_error(&file->source, line, "%s", iddpm_error_text());
}

enum iddpm_status study_file_config(const struct study_file *file, struct config **out)
{
    TRY(config_parse(out, file->base, file->base_text, 0, NULL));
    for (int i = 0; i < file->n_set; i++) {
        enum iddpm_status status =
            study_file_set(file, *out, file->set[i].line, file->set[i].key, file->set[i].texts[0]);
        if (status == IDDPM_OK) continue;
        config_destroy(*out);
        *out = NULL;
        return status;
    }
    return IDDPM_OK;
}

static enum iddpm_status read_key(const struct study_file *file, const yaml_node_t *node, struct axis *axis)
{
    static const struct {
        const char *key, *instead;
    } taken[] = {{"run.dir", "a point's folder has its name"},
                 {"train.save_steps", "say how many with checkpoints:"},
                 {"train.total_steps", "say it with budget: {steps: ...}"}};
    axis->line = document_line(node);
    if (config_key(document_found(node), &axis->key) != IDDPM_OK)
        return source_error(&file->source, axis->line, "%s", iddpm_error_text());
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (strcmp(axis->key, taken[i].key) == 0)
            return source_error(&file->source, axis->line, "%s: is set by the study: %s", axis->key, taken[i].instead);
    return IDDPM_OK;
}

static enum iddpm_status add_text(const struct study_file *file, const yaml_node_t *node, struct axis *axis)
{
    return source_text(&file->source, node, &axis->texts[axis->n++]);
}

/* The elements of a list, each a value; of a scalar, that. */
static enum iddpm_status read_values(const struct study_file *file, const yaml_node_t *node, struct axis *axis)
{
    axis->listed = node->type == YAML_SEQUENCE_NODE;
    size_t n = axis->listed ? (size_t)(node->data.sequence.items.top - node->data.sequence.items.start) : 1;
    if (n == 0) return source_error(&file->source, document_line(node), "%s: an empty list", axis->key);
    TRY(mem_alloc(&axis->texts, n, sizeof *axis->texts, "values of a study"));
    if (!axis->listed) return add_text(file, node, axis);
    for (size_t i = 0; i < n; i++)
        TRY(add_text(file, yaml_document_get_node(file->source.document, node->data.sequence.items.start[i]), axis));
    return IDDPM_OK;
}

static enum iddpm_status no_duplicates(const struct study_file *file, const struct axis *axis)
{
    for (int i = 0; i < axis->n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(axis->texts[i], axis->texts[k]) == 0)
                return source_error(&file->source, axis->line, "%s: %s stands twice in the list", axis->key,
                                    axis->texts[i]);
    return IDDPM_OK;
}

/* Every value through the configuration, which says what is wrong with it and how it is written. */
static enum iddpm_status check_values(const struct study_file *file, struct config *scratch, struct axis *axis)
{
    for (int i = 0; i < axis->n; i++) {
        TRY(study_file_set(file, scratch, axis->line, axis->key, axis->texts[i]));
        free(axis->texts[i]);
        axis->texts[i] = NULL;
        TRY(config_get(scratch, axis->key, &axis->texts[i]));
    }
    return IDDPM_OK;
}

/* ---- set, grid, zip ---------------------------------------------------------------------------------------------- */

/* `whole`: a list is one value. */
static enum iddpm_status read_axes(const struct study_file *file, const yaml_node_t *node, bool whole,
                                   struct axis **axes, int *n)
{
    if (!node || document_is_null(node)) return IDDPM_OK;
    if (node->type != YAML_MAPPING_NODE)
        return source_error(&file->source, document_line(node), "found %.80s; allowed are keys of a configuration",
                            document_found(node));
    yaml_node_pair_t *first = node->data.mapping.pairs.start, *end = node->data.mapping.pairs.top;
    TRY(mem_alloc(axes, (size_t)(end - first) + 1, sizeof **axes, "keys of a study"));
    for (yaml_node_pair_t *pair = first; pair < end; pair++) {
        struct axis *axis = &(*axes)[(*n)++];
        const yaml_node_t *value = yaml_document_get_node(file->source.document, pair->value);
        TRY(read_key(file, yaml_document_get_node(file->source.document, pair->key), axis));
        if (whole) {
            TRY(mem_alloc(&axis->texts, 1, sizeof *axis->texts, "values of a study"));
            TRY(add_text(file, value, axis));
        } else {
            TRY(read_values(file, value, axis));
        }
    }
    return IDDPM_OK;
}

static enum iddpm_status expect_once(const struct study_file *file, const struct axis *axis, const char **seen, int *n)
{
    for (int i = 0; i < *n; i++)
        if (seen[i] == axis->key)
            return source_error(&file->source, axis->line, "%s: stands twice in set, grid, zip and seeds", axis->key);
    seen[(*n)++] = axis->key;
    return IDDPM_OK;
}

static enum iddpm_status check_keys(struct study_file *file, struct config *scratch)
{
    const char **seen;
    int n = 0;
    TRY(mem_alloc(&seen, (size_t)(file->n_set + file->n_grid + file->n_zip + 1), sizeof *seen, "keys of a study"));
    enum iddpm_status status = IDDPM_OK;
    if (file->seeds.n > 0) status = expect_once(file, &file->seeds, seen, &n);
    for (int i = 0; i < file->n_set && status == IDDPM_OK; i++) status = expect_once(file, &file->set[i], seen, &n);
    struct axis *lists[] = {file->grid, file->zip};
    const int counts[] = {file->n_grid, file->n_zip};
    for (int l = 0; l < 2; l++)
        for (int i = 0; i < counts[l] && status == IDDPM_OK; i++) {
            status = expect_once(file, &lists[l][i], seen, &n);
            if (status == IDDPM_OK) status = check_values(file, scratch, &lists[l][i]);
            if (status == IDDPM_OK && l == 0) status = no_duplicates(file, &lists[l][i]);
            if (status == IDDPM_OK && lists[l][i].n != lists[l][0].n && l == 1)
                status = source_error(&file->source, lists[l][i].line,
                                      "%s: has %d values, %s has %d; lists of zip are as long as each other",
                                      lists[l][i].key, lists[l][i].n, lists[l][0].key, lists[l][0].n);
        }
    free(seen);
    if (status == IDDPM_OK) status = check_values(file, scratch, &file->seeds);
    return status == IDDPM_OK ? no_duplicates(file, &file->seeds) : status;
}

/* ---- seeds, budget, checkpoints ---------------------------------------------------------------------------------- */

static enum iddpm_status read_seeds(struct study_file *file, const yaml_node_t *node)
{
    if (!node || document_is_null(node)) return IDDPM_OK;
    file->seeds.line = document_line(node);
    TRY(config_key("run.seed", &file->seeds.key));
    return read_values(file, node, &file->seeds);
}

/* Amounts as one spelling of the number. */
static enum iddpm_status check_amounts(struct study_file *file)
{
    struct axis *axis = &file->amounts;
    for (int i = 0; i < axis->n; i++) {
        double amount;
        char text[TEXT_NUMBER_SIZE];
        bool whole = file->budget != BUDGET_FLOPS;
        if (!text_number(axis->texts[i], &amount) || amount < 1 || (whole && (amount != (double)(int64_t)amount)))
            return source_error(&file->source, axis->line, "%s: found '%.80s'; allowed is a %snumber of at least 1",
                                axis->key, axis->texts[i], whole ? "whole " : "");
        text_from_number(amount, text);
        if (whole) snprintf(text, sizeof text, "%lld", (long long)amount);
        free(axis->texts[i]);
        axis->texts[i] = mem_strdup(text);
        if (!axis->texts[i]) return iddpm_error(IDDPM_FAILED, "%s: no memory to read it", file->source.name);
    }
    return no_duplicates(file, axis);
}

static enum iddpm_status read_budget(struct study_file *file, const yaml_node_t *node)
{
    static const char *const keys[] = {NULL, "budget.steps", "budget.images", "budget.flops"};
    if (!node || document_is_null(node)) return IDDPM_OK;
    const yaml_node_t *values[] = {NULL, NULL, NULL, NULL};
    struct field fields[] = {{"steps", FIELD_NODE, &values[BUDGET_STEPS], 0, 0, 0},
                             {"images", FIELD_NODE, &values[BUDGET_IMAGES], 0, 0, 0},
                             {"flops", FIELD_NODE, &values[BUDGET_FLOPS], 0, 0, 0}};
    TRY(fields_read(&file->source, node, "budget.", 3, fields));
    int given = 0;
    for (int kind = BUDGET_STEPS; kind <= BUDGET_FLOPS; kind++)
        if (values[kind]) given++, file->budget = (enum budget)kind;
    if (given != 1)
        return source_error(&file->source, document_line(node), "budget: give one of steps, images and flops");
    file->amounts.key = keys[file->budget];
    file->amounts.line = fields[file->budget - BUDGET_STEPS].line;
    TRY(read_values(file, values[file->budget], &file->amounts));
    return check_amounts(file);
}

/* A number, or {number, first}. */
static enum iddpm_status read_checkpoints(struct study_file *file, const yaml_node_t *node)
{
    struct field fields[] = {{"number", FIELD_INTEGER, &file->checkpoints, 1, STUDY_SAVES_MAX, 0},
                             {"first", FIELD_NUMBER, &file->first, 1e-6, 1, 0}};
    if (!node || document_is_null(node)) return IDDPM_OK;
    if (node->type == YAML_MAPPING_NODE) return fields_read(&file->source, node, "checkpoints.", 2, fields);
    if (node->type == YAML_SCALAR_NODE && text_integer(document_found(node), &file->checkpoints) &&
        file->checkpoints >= 1 && file->checkpoints <= STUDY_SAVES_MAX)
        return IDDPM_OK;
    return source_error(&file->source, document_line(node),
                        "checkpoints: found '%.80s'; allowed is a whole number from 1 to %d, or {number: N, first: "
                        "SHARE}",
                        document_found(node), STUDY_SAVES_MAX);
}

static enum iddpm_status read_slurm(struct study_file *file, const yaml_node_t *node)
{
    struct study_slurm *s = &file->slurm;
    struct field fields[] = {{"nodes", FIELD_INTEGER, &s->nodes, 1, 1e6, 0},
                             {"tasks_per_node", FIELD_INTEGER, &s->tasks_per_node, 1, 4096, 0},
                             {"cpus_per_task", FIELD_INTEGER, &s->cpus_per_task, 1, 4096, 0},
                             {"throttle", FIELD_INTEGER, &s->throttle, 0, 1e6, 0},
                             {"retries", FIELD_INTEGER, &s->retries, 0, 1000, 0},
                             {"memory", FIELD_NUMBER, &s->memory, 0, 1e6, 0},
                             {"time", FIELD_TEXT, &s->time, 0, 0, 0},
                             {"partition", FIELD_TEXT, &s->partition, 0, 0, 0},
                             {"options", FIELD_TEXT, &s->options, 0, 0, 0}};
    char **texts[] = {&s->time, &s->partition, &s->options};
    for (int i = 0; i < 3; i++)
        if (!(*texts[i] = mem_strdup(""))) return iddpm_error(IDDPM_FAILED, "%s: no memory", file->source.name);
    if (!node || document_is_null(node)) return IDDPM_OK;
    return fields_read(&file->source, node, "slurm.", sizeof fields / sizeof *fields, fields);
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* A base's path counts from the study file. */
static enum iddpm_status read_base(struct study_file *file, const char *name, int line)
{
    char folder[PATH_SIZE];
    const char *slash = strrchr(file->source.name, '/');
    if (!name || !*name)
        return source_error(&file->source, line ? line : 1, "base: not set: name the configuration of all points");
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - file->source.name + 1) : 0, file->source.name);
    if (*name == '/' || !slash)
        snprintf(file->base, PATH_SIZE, "%s", name);
    else
        TRY(path_join(file->base, folder, name));
    if (path_read_text(file->base, STUDY_FILE_MAX, &file->base_text) == IDDPM_OK) return IDDPM_OK;
    return source_error(&file->source, line, "base: %s", iddpm_error_text());
}

static enum iddpm_status read_root(struct study_file *file, const char *submitted)
{
    const yaml_node_t *root = yaml_document_get_root_node(file->source.document), *set = NULL, *grid = NULL,
                      *zip = NULL, *seeds = NULL, *budget = NULL, *checkpoints = NULL, *slurm = NULL;
    char *base = NULL;
    struct field fields[] = {{"study", FIELD_TEXT, &file->folder, 0, 0, 0},
                             {"title", FIELD_TEXT, &file->title, 0, 0, 0},
                             {"base", FIELD_TEXT, &base, 0, 0, 0},
                             {"set", FIELD_NODE, &set, 0, 0, 0},
                             {"grid", FIELD_NODE, &grid, 0, 0, 0},
                             {"zip", FIELD_NODE, &zip, 0, 0, 0},
                             {"seeds", FIELD_NODE, &seeds, 0, 0, 0},
                             {"budget", FIELD_NODE, &budget, 0, 0, 0},
                             {"checkpoints", FIELD_NODE, &checkpoints, 0, 0, 0},
                             {"evaluate", FIELD_NODE, &file->evaluate, 0, 0, 0},
                             {"slurm", FIELD_NODE, &slurm, 0, 0, 0}};
    if (!root) return source_error(&file->source, 1, "an empty file; a study has at least the keys study and base");
    enum iddpm_status status = fields_read(&file->source, root, "", sizeof fields / sizeof *fields, fields);
    if (status == IDDPM_OK) status = read_base(file, submitted ? "base.yaml" : base, fields[2].line);
    free(base);
    TRY(status);
    TRY(read_axes(file, set, true, &file->set, &file->n_set));
    TRY(read_axes(file, grid, false, &file->grid, &file->n_grid));
    TRY(read_axes(file, zip, false, &file->zip, &file->n_zip));
    TRY(read_seeds(file, seeds));
    TRY(read_budget(file, budget));
    TRY(read_checkpoints(file, checkpoints));
    return read_slurm(file, slurm);
}

static enum iddpm_status read_folder(struct study_file *file, const char *submitted)
{
    if (submitted) {
        free(file->folder); /* it may have been moved */
        file->folder = mem_strdup(submitted);
    }
    if (!file->folder || !*file->folder)
        return source_error(&file->source, 1, "study: not set: name the folder of the study");
    if (!file->title) file->title = mem_strdup(file->folder);
    return file->title ? IDDPM_OK : iddpm_error(IDDPM_FAILED, "%s: no memory", file->source.name);
}

enum iddpm_status study_file_read(struct study_file *file, const char *path)
{
    static _Thread_local char name[PATH_SIZE];
    bool submitted = path_is_folder(path);
    *file = (struct study_file){.checkpoints = 1, .first = 0.05, .slurm = {1, 2, 1, 0, 0, 0, NULL, NULL, NULL}};
    file->source.name = name;
    if (submitted) TRY(path_join(name, path, "study.yaml"));
    if (!submitted && snprintf(name, PATH_SIZE, "%s", path) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "study: the path is too long");
    if (submitted && !path_exists(name))
        return iddpm_error(IDDPM_USAGE, "%s: no study was submitted to this folder (no study.yaml)", path);
    TRY(path_exists(name) ? path_read_text(name, STUDY_FILE_MAX, &file->text)
                          : iddpm_error(IDDPM_USAGE, "%s: no such study", path));
    TRY(document_read(&file->source.document, name, file->text, "study"));
    TRY(read_root(file, submitted ? path : NULL));
    TRY(read_folder(file, submitted ? path : NULL));
    struct config *scratch;
    TRY(study_file_config(file, &scratch));
    enum iddpm_status status = check_keys(file, scratch);
    config_destroy(scratch);
    return status;
}

static void free_axes(struct axis *axes, int n)
{
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < axes[i].n; k++) free(axes[i].texts[k]);
        free(axes[i].texts);
    }
}

void study_file_free(struct study_file *file)
{
    struct axis *lists[] = {file->set, file->grid, file->zip};
    const int counts[] = {file->n_set, file->n_grid, file->n_zip};
    for (int i = 0; i < 3; i++) {
        free_axes(lists[i], counts[i]);
        free(lists[i]);
    }
    free_axes(&file->seeds, 1);
    free_axes(&file->amounts, 1);
    char *texts[] = {file->text,       file->folder,          file->title,        file->base_text,
                     file->slurm.time, file->slurm.partition, file->slurm.options};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    document_destroy(file->source.document);
}
