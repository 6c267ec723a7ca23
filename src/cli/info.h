/* Private to the command info. */
#ifndef IDDPM_CLI_INFO_H
#define IDDPM_CLI_INFO_H

#include "cli.h"

#include "iddpm/train.h"

/* A line "name  text" of the report. */
void info_row(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* What a configuration asks of `ranks` ranks. 0: of one, and what a job needs but is not there (its data set, say) is
 * only said; else that is an error. */
enum iddpm_status info_job(const struct cli *cli, struct config *config, int ranks);
/* Prints the paths of the data set's index and of the shards that the ranks of `list` ("0-3,8") of `ranks` read in
 * training, one a line. */
enum iddpm_status info_files(const struct config *config, int ranks, const char *list);

/* Prints which configuration fits the tensors of a checkpoint, and whether `config` does; IDDPM_FAILED when it does
 * not, after the first differences. */
enum iddpm_status info_fit(const struct cli *cli, const struct config *config, const struct checkpoint *checkpoint);
/* Prints the parameters of the configuration's network in their order, a line each: "NAME 128 3 3 3". */
enum iddpm_status info_tensors(const struct cli *cli, const struct config *config);

#endif
