#include "result_name.h"

#include <ctype.h>
#include <string.h>

#define LONGEST 200 /* of file systems' 255, room for the temporary file beside the result */

void result_name_add(char *name, const char *format, ...)
{
    size_t used = strlen(name);
    va_list args;
    va_start(args, format);
    vsnprintf(name + used, PATH_SIZE - used, format, args);
    va_end(args);
}

const char *result_name_last(const char *path, int *length)
{
    size_t end = strlen(path), from;
    while (end > 1 && path[end - 1] == '/') end--;
    for (from = end; from > 0 && path[from - 1] != '/';) from--;
    *length = (int)(end - from);
    return path + from;
}

enum iddpm_status result_name_path(char *out, const struct inference *inference, const char *folder, char *name,
                                   const char *ending)
{
    const struct model *model = inference->model;
    char parent[PATH_SIZE], guidance[TEXT_NUMBER_SIZE];
    text_from_number(model->guidance, guidance);
    if (model->guidance != 1) result_name_add(name, "-guidance%s", guidance);
    if (model->ends)
        result_name_add(name, "-ends-%08x-%d-%d", (unsigned)model->ends->weights_crc32, model->ends_below,
                        model->ends_from);
    if (inference->no_clip) result_name_add(name, "-noclip");
    if (inference->seed != model->config->run.seed) result_name_add(name, "-seed%lld", (long long)inference->seed);
    if (inference->noise_path) {
        int length;
        const char *file = result_name_last(inference->noise_path, &length);
        result_name_add(name, "-noise-%.*s", length, file);
    }
    result_name_add(name, "%s", ending);
    for (char *c = name; *c; c++)
        if (isspace((unsigned char)*c) || strchr("/*?[]", *c)) *c = '-';
    if (strlen(name) > LONGEST)
        return iddpm_error(IDDPM_USAGE, "the options make the result's name too long (%.60s...): give --out FILE",
                           name);
    TRY(path_join(parent, model->folder, folder));
    return path_join(out, parent, name);
}
