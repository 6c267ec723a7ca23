/* Private to src/cli: the commands of `iddpm study`.
 *
 * A new one is a file study_NAME.c, its line below, and a row of the table in cmd_study.c. It is called as a command is
 * (cli.h), with cli->command "study NAME". */
#ifndef IDDPM_CLI_STUDY_H
#define IDDPM_CLI_STUDY_H

#include "cli.h"
#include "iddpm/study.h"

enum iddpm_status study_cmd_collect(struct cli *cli);
enum iddpm_status study_cmd_fit(struct cli *cli);
enum iddpm_status study_cmd_plan(struct cli *cli);
enum iddpm_status study_cmd_figures(struct cli *cli);
enum iddpm_status study_cmd_report(struct cli *cli);
enum iddpm_status study_cmd_submit(struct cli *cli);
enum iddpm_status study_cmd_status(struct cli *cli);
enum iddpm_status study_cmd_cancel(struct cli *cli);

/* "12.3 s", "4.5 h" */
void study_hours_text(double hours, char out[16]);

#endif
