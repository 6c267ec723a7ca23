/* "name=value,name=value": what a user tells MPI-IO about the file system (striping_factor, romio_ds_write, cb_nodes).
 */
#include "checkpoint.h"

#include <string.h>

/* The next of `*text` into name and value, and *text behind it. */
static enum iddpm_status next_hint(const char **text, char name[MPI_MAX_INFO_KEY], char value[MPI_MAX_INFO_VAL])
{
    int length = (int)strcspn(*text, ","), cut = (int)strcspn(*text, "=,");
    const char *hint = *text;
    *text += length + ((*text)[length] == ',');
    if (cut == 0 || cut >= length - 1 || cut >= MPI_MAX_INFO_KEY || length - cut - 1 >= MPI_MAX_INFO_VAL ||
        memchr(hint, ' ', (size_t)length))
        return iddpm_error(IDDPM_USAGE,
                           "'%.*s' is no hint; allowed is name=value,name=value without spaces, such as "
                           "striping_factor=8,romio_ds_write=disable",
                           length, hint);
    snprintf(name, MPI_MAX_INFO_KEY, "%.*s", cut, hint);
    snprintf(value, MPI_MAX_INFO_VAL, "%.*s", length - cut - 1, hint + cut + 1);
    return IDDPM_OK;
}

enum iddpm_status store_check_hints(const char *hints)
{
    char name[MPI_MAX_INFO_KEY], value[MPI_MAX_INFO_VAL];
    size_t length = strlen(hints);
    if (length && hints[length - 1] == ',') return iddpm_error(IDDPM_USAGE, "'%s' ends with a comma", hints);
    while (*hints) TRY(next_hint(&hints, name, value));
    return IDDPM_OK;
}

enum iddpm_status ckpt_info(const char *hints, MPI_Info *out)
{
    char name[MPI_MAX_INFO_KEY], value[MPI_MAX_INFO_VAL];
    TRY(store_check_hints(hints));
    MPI_Info_create(out);
    while (*hints) {
        TRY(next_hint(&hints, name, value));
        MPI_Info_set(*out, name, value);
    }
    return IDDPM_OK;
}
