/* iddpm info for tensors: which configuration fits those of a checkpoint, and what those of a configuration are. */
#include "info.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS "params/"

struct tensors {
    int n;
    struct net_param *v; /* names belong to the checkpoint */
};

static enum iddpm_status collect(const struct checkpoint *checkpoint, struct tensors *out)
{
    int count = checkpoint_count(checkpoint);
    out->n = 0;
    TRY(mem_alloc(&out->v, (size_t)count, sizeof *out->v, "list of tensors"));
    for (int i = 0; i < count; i++) {
        struct store_array array = checkpoint_array(checkpoint, i);
        if (strncmp(array.path, PARAMS, strlen(PARAMS)) != 0) continue;
        struct net_param *param = &out->v[out->n++];
        *param = (struct net_param){.name = array.path + strlen(PARAMS), .ndim = array.ndim};
        int dims = array.ndim < 4 ? array.ndim : 4; /* those of five never fit */
        for (int k = 0; k < dims; k++) param->dims[k] = array.dims[k];
        if (array.ndim > 4) param->ndim = 0;
    }
    return IDDPM_OK;
}

static void print_keys(const char *name, const struct unet_key *keys)
{
    enum { A_LINE = 4 };
    for (int i = 0; i < UNET_KEYS; i += A_LINE) {
        char line[1024];
        int used = 0;
        for (int k = i; k < i + A_LINE && k < UNET_KEYS; k++)
            used += snprintf(line + used, sizeof line - (size_t)used, "%s%s=%s", used ? " " : "", keys[k].key,
                             keys[k].value);
        info_row(i ? "" : name, "%s", line);
    }
}

/* What the configuration would need, "model.channel_mult=1,2,2,2 ...", "" when no key helps. */
static void list_changes(const struct unet_options *here, const struct unet_options *there, size_t size, char *out)
{
    struct unet_key a[UNET_KEYS], b[UNET_KEYS];
    size_t used = 0;
    unet_options_keys(here, a);
    unet_options_keys(there, b);
    *out = 0;
    for (int i = 0; i < UNET_KEYS && used < size; i++)
        if (strcmp(a[i].key, b[i].key) != 0 || strcmp(a[i].value, b[i].value) != 0)
            used += (size_t)snprintf(out + used, size - used, "%s%s=%s", used ? " " : "", b[i].key, b[i].value);
}

static void print_differences(const struct unet_fit *fit)
{
    for (int i = 0; i < fit->differences && i < UNET_FIT_SHOWN; i++) info_row("", "%s", fit->first[i]);
    if (fit->differences > UNET_FIT_SHOWN) info_row("", "and %d more", fit->differences - UNET_FIT_SHOWN);
}

/* Whether any configuration fits, and which, into *out. `like` may be NULL. */
static bool print_inferred(const struct tensors *tensors, const struct unet_options *like, struct unet_options *out)
{
    struct unet_fit fit;
    struct unet_key keys[UNET_KEYS];
    enum iddpm_status status = unet_options_infer(tensors->n, tensors->v, like, out);
    if (status == IDDPM_OK) status = unet_fit(out, "the nearest", tensors->n, tensors->v, &fit);
    if (status != IDDPM_OK) {
        info_row("fits", "no configuration: %s", iddpm_error_text());
        return false;
    }
    unet_options_keys(out, keys);
    if (fit.differences) {
        info_row("fits", "no configuration: of the nearest, %d tensors differ", fit.differences);
        print_differences(&fit);
    }
    print_keys(fit.differences ? "nearest" : "fits", keys);
    info_row("cannot be told", "%s", unet_untold_keys);
    return fit.differences == 0;
}

static enum iddpm_status compare(const struct config *config, const struct tensors *tensors)
{
    struct unet_options own, inferred;
    struct unet_fit fit;
    char changes[1024];
    enum iddpm_status status = unet_options_from_config(config, -1, &own);
    char why[1024];
    snprintf(why, sizeof why, "%s", status == IDDPM_OK ? "" : iddpm_error_text());
    bool possible = print_inferred(tensors, status == IDDPM_OK ? &own : NULL, &inferred);
    if (status != IDDPM_OK) return iddpm_error(status, "%s", why);
    TRY(unet_fit(&own, "the configuration's", tensors->n, tensors->v, &fit));
    if (fit.differences == 0) {
        info_row("configuration", "its network has these %d tensors", tensors->n);
        return IDDPM_OK;
    }
    info_row("configuration", "%d tensors differ from those of its network", fit.differences);
    print_differences(&fit);
    list_changes(&own, &inferred, sizeof changes, changes);
    if (possible && *changes) info_row("", "it would fit with %s", changes);
    return iddpm_error(IDDPM_FAILED, "info: the configuration's network is not that of the checkpoint's tensors: %s",
                       fit.first[0]);
}

enum iddpm_status info_fit(const struct cli *cli, const struct config *config, const struct checkpoint *checkpoint)
{
    struct tensors tensors;
    TRY(cli_start(cli, config));
    TRY(collect(checkpoint, &tensors));
    enum iddpm_status status = compare(config, &tensors);
    free(tensors.v);
    return status;
}

enum iddpm_status info_tensors(const struct cli *cli, const struct config *config)
{
    struct unet_options options;
    struct net *net;
    TRY(cli_start(cli, config));
    TRY(unet_options_from_config(config, -1, &options));
    TRY(unet_plan(&net, &options, 1, NET_INFERENCE, 1));
    for (int i = 0; i < net_param_count(net); i++) {
        const struct net_param *param = net_param(net, i);
        printf("%s", param->name);
        for (int k = 0; k < param->ndim; k++) printf(" %" PRIu64, param->dims[k]);
        putchar('\n');
    }
    net_destroy(net);
    return IDDPM_OK;
}
