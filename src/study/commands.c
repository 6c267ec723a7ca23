/* Tasks as command lines. */
#include "tasks.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum iddpm_status words_add(struct words *words, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = words->n < WORDS_MAX ? vasprintf(&words->of[words->n], format, args) : -1;
    va_end(args);
    if (n < 0) return iddpm_error(IDDPM_FAILED, "a command line: no room for its words");
    words->of[++words->n] = NULL;
    return IDDPM_OK;
}

void words_free(struct words *words)
{
    for (int i = 0; i < words->n; i++) free(words->of[i]);
    *words = (struct words){0};
}

enum iddpm_status words_line(const struct words *words, char **out)
{
    size_t size;
    *out = NULL;
    FILE *stream = open_memstream(out, &size);
    if (!stream) return iddpm_error(IDDPM_FAILED, "a command line: no memory");
    for (int i = 0; i < words->n; i++) {
        if (i) fputc(' ', stream);
        if (!*words->of[i]) fputs("\"\"", stream);
        for (const char *c = words->of[i]; *c; c++) {
            if (!isalnum((unsigned char)*c) && !strchr("_./,:=+-%", *c)) fputc('\\', stream);
            fputc(*c, stream);
        }
    }
    if (fclose(stream) == 0) return IDDPM_OK;
    free(*out);
    return iddpm_error(IDDPM_FAILED, "a command line: no memory");
}

static enum iddpm_status add_steps(const struct task *task, struct words *words)
{
    char list[STUDY_SAVES_MAX * 24] = "";
    size_t used = 0;
    for (int i = 0; i < task->n_steps; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%lld", i ? "," : "", (long long)task->steps[i]);
    TRY(words_add(words, "--steps"));
    return words_add(words, "%s", list);
}

static enum iddpm_status add_integer(struct words *words, const char *option, int64_t value)
{
    TRY(words_add(words, "%s", option));
    return words_add(words, "%lld", (long long)value);
}

static enum iddpm_status add_nll(const struct task *task, struct words *words)
{
    const struct study_evaluation *e = task->evaluation;
    TRY(add_steps(task, words));
    TRY(words_add(words, "--folder"));
    TRY(words_add(words, "%s/nll/%s", task->point->run, e->name));
    if (*e->data) TRY(words_add(words, "--data"));
    if (*e->data) TRY(words_add(words, "%s", e->data));
    if (e->images > 0) TRY(add_integer(words, "--num", e->images));
    return e->strata > 0 ? add_integer(words, "--strata", e->strata) : IDDPM_OK;
}

static enum iddpm_status add_sample(const struct task *task, struct words *words)
{
    const struct study_evaluation *e = task->evaluation;
    char path[PATH_SIZE], eta[TEXT_NUMBER_SIZE];
    TRY(study_result_path(task->point, e, task->steps[0], path));
    TRY(add_integer(words, "--step", task->steps[0]));
    TRY(add_integer(words, "--num", e->images));
    TRY(words_add(words, "--out"));
    TRY(words_add(words, "%s", path));
    if (e->ddim) TRY(words_add(words, "--ddim"));
    if (e->start_step >= 0) TRY(add_integer(words, "--start-step", e->start_step));
    if (e->eta == 0) return IDDPM_OK;
    text_from_number(e->eta, eta);
    TRY(words_add(words, "--eta"));
    return words_add(words, "%s", eta);
}

enum iddpm_status task_words(const struct study *study, const struct task *task, struct words *words)
{
    const struct study_evaluation *e = task->evaluation;
    char path[PATH_SIZE];
    if (!e) TRY(point_config_path(study, task->point, path));
    TRY(words_add(words, "%s", e ? task->point->run : path));
    if (!e) return IDDPM_OK;
    TRY(e->kind == STUDY_NLL ? add_nll(task, words) : add_sample(task, words));
    if (e->respacing) TRY(words_add(words, "--respacing"));
    if (e->respacing) TRY(words_add(words, "%s", e->respacing));
    if (e->weights) TRY(words_add(words, "--weights"));
    if (e->weights) TRY(words_add(words, "%s", e->weights));
    return e->seed >= 0 ? add_integer(words, "--seed", e->seed) : IDDPM_OK;
}

enum iddpm_status task_script(const struct study_tools *tools, const struct task *task, struct words *words)
{
    const struct study_evaluation *e = task->evaluation;
    return words_add(words, "%s/%s.sbatch", tools->jobs, !e ? "train" : e->kind == STUDY_NLL ? "nll" : "sample");
}
