/* How an evaluation measures, kept in the study's folder: results under one name are to be of one kind. */
#include "results.h"
#include "tasks.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 14 };

static const char *kind_of(const struct study_evaluation *e)
{
    return e->kind == STUDY_NLL ? "nll" : "samples";
}

/* STUDY/evaluations/KIND-NAME.yaml */
static enum iddpm_status settings_path(const struct study *study, const struct study_evaluation *e, char *out)
{
    if (snprintf(out, PATH_SIZE, "%s/evaluations/%s-%s.yaml", study->folder, kind_of(e), e->name) < PATH_SIZE)
        return IDDPM_OK;
    return iddpm_error(IDDPM_USAGE, "%s: the path of the study is too long", study->folder);
}

static void put_text(FILE *stream, const char *key, const char *value)
{
    fprintf(stream, "%s: %s\n", key, !value ? "the point's" : *value ? value : "\"\"");
}

static void put_integer(FILE *stream, const char *key, int64_t value)
{
    fprintf(stream, "%s: %lld\n", key, (long long)value);
}

/* What its results depend on; free(). */
static enum iddpm_status settings_text(const struct study_evaluation *e, char **out)
{
    char eta[TEXT_NUMBER_SIZE];
    size_t size;
    *out = NULL;
    FILE *stream = open_memstream(out, &size);
    if (!stream) return iddpm_error(IDDPM_FAILED, "settings of an evaluation: no memory");
    put_integer(stream, "images", e->images);
    put_text(stream, "respacing", e->respacing);
    put_text(stream, "weights", e->weights);
    put_integer(stream, "seed", e->seed);
    if (e->kind == STUDY_NLL) {
        put_text(stream, "data", *e->data ? e->data : NULL);
        put_integer(stream, "strata", e->strata);
    } else {
        text_from_number(e->eta, eta);
        put_text(stream, "ddim", e->ddim ? "true" : "false");
        put_text(stream, "eta", eta);
        put_integer(stream, "start_step", e->start_step);
    }
    if (fclose(stream) == 0) return IDDPM_OK;
    free(*out);
    return iddpm_error(IDDPM_FAILED, "settings of an evaluation: no memory");
}

/* A result, whole or in part, in a folder: its name into name[size]. */
static bool find_result(const char *folder, char *name, size_t size)
{
    bool found = false;
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && !found && (entry = readdir(entries));) {
        found = strncmp(entry->d_name, "step-", 5) == 0;
        if (found) snprintf(name, size, "%s", entry->d_name);
    }
    if (entries) closedir(entries);
    return found;
}

/* Of any point, also of those that the study file no longer has. */
static bool was_measured(const struct study *study, const struct study_evaluation *e, char result[PATH_SIZE])
{
    char points[PATH_SIZE], folder[PATH_SIZE], name[256];
    bool found = false;
    DIR *entries = path_join(points, study->folder, "points") == IDDPM_OK ? opendir(points) : NULL;
    for (struct dirent *entry; entries && !found && (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        int n = snprintf(folder, PATH_SIZE, "%s/%s/%s/%s", points, entry->d_name, kind_of(e), e->name);
        found = n < PATH_SIZE && find_result(folder, name, sizeof name) && path_join(result, folder, name) == IDDPM_OK;
    }
    if (entries) closedir(entries);
    return found;
}

/* The lines of one text; the first that differs is told. */
static void first_difference(const char *here, const char *there, char *out, size_t size)
{
    while (*here && *there) {
        size_t n = strcspn(here, "\n"), m = strcspn(there, "\n");
        if (n != m || memcmp(here, there, n) != 0) {
            const char *value = memchr(there, ' ', m);
            snprintf(out, size, "%.*s here,%.*s there", (int)n, here, value ? (int)(there + m - value) : (int)m,
                     value ? value : there);
            return;
        }
        here += n + (here[n] != 0);
        there += m + (there[m] != 0);
    }
    snprintf(out, size, "other settings");
}

enum iddpm_status settings_check(const struct study *study, const struct study_evaluation *evaluation)
{
    char path[PATH_SIZE], result[PATH_SIZE], difference[512], *here, *there = NULL;
    TRY(settings_path(study, evaluation, path));
    if (!path_exists(path)) return IDDPM_OK;
    TRY(settings_text(evaluation, &here));
    enum iddpm_status status = path_read_text(path, TEXT_MAX, &there);
    if (status == IDDPM_OK && strcmp(here, there) != 0 && was_measured(study, evaluation, result)) {
        first_difference(here, there, difference, sizeof difference);
        status = iddpm_error(IDDPM_USAGE,
                             "%s: evaluation %s has results that were measured with other settings (%s), as %s: give "
                             "it another name, or move its old results away; where they are as they should be (data "
                             "of another path), remove %s",
                             study->file, evaluation->name, difference, result, path);
    }
    free(there);
    free(here);
    return status;
}

enum iddpm_status settings_keep(const struct study *study, const struct study_evaluation *evaluation)
{
    char path[PATH_SIZE], *text;
    TRY(settings_path(study, evaluation, path));
    TRY(settings_text(evaluation, &text));
    enum iddpm_status status = text_write_if_new(path, text);
    free(text);
    return status;
}
