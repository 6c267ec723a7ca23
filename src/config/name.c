/* Finding keys by their names, and what to say about names that are none. */
#include "key.h"

#include <stdlib.h>
#include <string.h>

/* Flags of the authors' scripts that are no keys here. */
static const struct {
    const char *name, *says;
} flags[] = {
    {"use_fp16", "is not carried: model.precision=bf16 stands in its place"},
    {"fp16_scale_growth", "is not carried: model.precision=bf16 needs no scaling of the loss"},
    {"data_dir", "is data.path here, a folder made by `iddpm import`"},
    {"model_path", "is an argument of `iddpm nll` and `iddpm sample`"},
    {"num_samples", "is an option of `iddpm nll` and `iddpm sample`"},
    {"clip_denoised", "is an option of `iddpm nll` and `iddpm sample`"},
    {"use_ddim", "is an option of `iddpm sample`"},
};

int key_find(const char *name)
{
    for (int i = 0; i < key_count; i++)
        if (strcmp(keys[i].name, name) == 0) return i;
    return -1;
}

bool key_in_group(const struct key *key, const char *group)
{
    size_t n = strlen(group);
    return strncmp(key->name, group, n) == 0 && key->name[n] == '.';
}

static const char *last_part(const char *name)
{
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

const char *key_last(const struct key *key)
{
    return last_part(key->name);
}

/* True when `name` ends with `part`, and `part` begins after one of `boundaries` or is all of it. */
static bool ends_with(const char *name, const char *part, const char *boundaries)
{
    size_t n = strlen(name), m = strlen(part);
    if (m == 0 || m > n || strcmp(name + n - m, part) != 0) return false;
    return m == n || strchr(boundaries, name[n - m - 1]);
}

static enum iddpm_status ambiguous(const char *part, int n)
{
    char list[1024] = "";
    for (int i = 0, k = 0; i < key_count; i++) {
        if (!ends_with(keys[i].name, part, "._")) continue;
        const char *separator = k == 0 ? "" : k + 1 < n ? ", " : " or ";
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", separator, keys[i].name);
        k++;
    }
    return iddpm_error(IDDPM_USAGE, "%.120s: which key is meant? %s", part, list);
}

enum iddpm_status key_find_last(const char *part, int *out)
{
    int whole = 0, ends = 0;
    for (int i = 0; i < key_count; i++) {
        if (ends_with(keys[i].name, part, ".")) *out = i, whole++;
        ends += ends_with(keys[i].name, part, "._");
    }
    if (whole == 1) return IDDPM_OK;
    return ends > 0 ? ambiguous(part, ends) : key_unknown(part);
}

enum iddpm_status key_unknown(const char *name)
{
    const char *last = last_part(name);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (strcmp(flags[i].name, last) == 0)
            return iddpm_error(IDDPM_USAGE, "%.120s: this flag of the authors' scripts %s", name, flags[i].says);
    int nearest = 0;
    unsigned least = ~0u;
    for (int i = 0; i < key_count; i++) { /* by the last part; among equals by the whole name */
        unsigned distance = 256 * text_distance(last, key_last(&keys[i])) + text_distance(name, keys[i].name);
        if (distance < least) least = distance, nearest = i;
    }
    return iddpm_error(IDDPM_USAGE, "%.120s: unknown key; nearest is %s", name, keys[nearest].name);
}
