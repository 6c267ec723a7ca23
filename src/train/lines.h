/* Private to src/train: files of a run that grow by lines, each of a step, written by rank 0. */
#ifndef IDDPM_TRAIN_LINES_H
#define IDDPM_TRAIN_LINES_H

#include "owner.h"

/* What is appended to a file, and the name of the latter for an error. */
struct lines {
    const char *name;
    int file; /* open for appending */
    const char *text;
    size_t length;
};
/* All of it to every one of n files, or nothing to any: past stdio, which would not tell how much of a line that failed
 * is in the file. */
enum iddpm_status lines_append(int n, const struct lines *lines);

/* Puts the file `path`, when there is one, back to its lines of steps up to `step`; what a killed run wrote after its
 * last checkpoint goes, and half a line. A line is `prefix`, its step and the rest. `heading`: the first line of a
 * table as it would be today, with its newline; a table that lacks the last of these columns gets them, empty. NULL for
 * a file without heading. Fails before anything is replaced when the run has another owner. *there (may be NULL):
 * whether `step` itself has a line. */
enum iddpm_status lines_cut_back(struct owner *owner, const char *path, const char *prefix, const char *heading,
                                 int64_t step, bool *there);

#endif
