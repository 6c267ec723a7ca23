/* Private to src/study: text of a page that is XML as well as HTML. */
#ifndef IDDPM_STUDY_HTML_H
#define IDDPM_STUDY_HTML_H

#include "iddpm/base.h"

/* Any bytes as text or as the value of an attribute: what has a meaning is escaped, what is no UTF-8 or may not stand
 * in XML becomes "?". */
void html_text(FILE *stream, const char *text);
/* A file as data: URI. Nothing is written when it cannot be read. */
enum iddpm_status html_data(FILE *stream, const char *path, const char *type);

#endif
