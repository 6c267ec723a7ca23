/* Private to src/cli: default names of results. They say what is not default, so that a result of other options does
 * not replace the plain one. */
#ifndef IDDPM_CLI_RESULT_NAME_H
#define IDDPM_CLI_RESULT_NAME_H

#include "inference.h"

/* Appends a part, printf style, to a name of PATH_SIZE. */
void result_name_add(char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* out[PATH_SIZE] = RUN/FOLDER/NAME[-guidanceS][-ends-CRC-A-B][-noclip][-seedN][-noise-FILE]ENDING; what cannot stand in
 * a file's name becomes "-".
 */
enum iddpm_status result_name_path(char *out, const struct inference *inference, const char *folder, char *name,
                                   const char *ending);
/* The part of a path behind the last "/" that has something behind it, and its length. */
const char *result_name_last(const char *path, int *length);

#endif
