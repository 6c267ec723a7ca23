/* Private to src/study: mappings of a study file, each read by a table of its keys. */
#ifndef IDDPM_STUDY_FIELDS_H
#define IDDPM_STUDY_FIELDS_H

#include "iddpm/study.h"

#include <yaml.h>

struct field {
    const char *name;
    enum { FIELD_TEXT, FIELD_INTEGER, FIELD_NUMBER, FIELD_FLAG, FIELD_NODE } kind;
    void *to;        /* char ** (free()), int64_t *, double *, bool *, const yaml_node_t **; what is there stays */
    double min, max; /* of a number; max 0: no upper limit */
    int line;        /* where it stands, 0: nowhere */
};

/* A file that is being read. */
struct source {
    const char *name;
    yaml_document_t *document;
};

/* `where`: "slurm." in messages, "" at the top. IDDPM_USAGE with file, line and key: one that is not in the table (the
 * nearest is named), stands twice, or has a value that is not allowed. */
enum iddpm_status fields_read(const struct source *source, const yaml_node_t *mapping, const char *where, int n,
                              struct field *fields);

/* A scalar, or a list of scalars as "a,b,c", into *out (free()); nothing gives "". */
enum iddpm_status source_text(const struct source *source, const yaml_node_t *node, char **out);
/* "FILE:LINE: <text>"; returns IDDPM_USAGE. */
enum iddpm_status source_error(const struct source *source, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
