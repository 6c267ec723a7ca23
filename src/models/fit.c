/* Whether tensors are those of a network, and the keys of a configuration that would make it so. */
#include "unet.h"

#include <stdlib.h>
#include <string.h>

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static const char *shape(const struct net_param *param, char out[96])
{
    int used = snprintf(out, 96, "%s", param->ndim ? "" : "a scalar");
    for (int i = 0; i < param->ndim; i++)
        used += snprintf(out + used, 96 - (size_t)used, "[%llu]", (unsigned long long)param->dims[i]);
    return out;
}

static bool same_shape(const struct net_param *a, const struct net_param *b)
{
    return a->ndim == b->ndim && memcmp(a->dims, b->dims, (size_t)a->ndim * sizeof *a->dims) == 0;
}

static __attribute__((format(printf, 2, 3))) void differ(struct unet_fit *fit, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (fit->differences < UNET_FIT_SHOWN) vsnprintf(fit->first[fit->differences], sizeof fit->first[0], format, args);
    va_end(args);
    fit->differences++;
}

/* One parameter of the network, marking its tensor as `seen`. */
static void compare(const struct net_param *param, const char *whose, int n, const struct net_param *tensors,
                    bool *seen, struct unet_fit *fit)
{
    char is[96], has[96];
    int i = 0;
    while (i < n && strcmp(tensors[i].name, param->name) != 0) i++;
    if (i == n)
        differ(fit, "%s is missing; %s network has it, %s", param->name, whose, shape(param, has));
    else if (!same_shape(param, &tensors[i]))
        differ(fit, "%s is %s, %s network has %s", param->name, shape(&tensors[i], is), whose, shape(param, has));
    if (i < n) seen[i] = true;
}

enum iddpm_status unet_fit(const struct unet_options *options, const char *whose, int n,
                           const struct net_param *tensors, struct unet_fit *out)
{
    struct net *net;
    bool *seen;
    char text[96];
    *out = (struct unet_fit){0};
    TRY(unet_plan(&net, options, 1, NET_INFERENCE, 1));
    enum iddpm_status status = mem_alloc(&seen, (size_t)n, sizeof *seen, "list of tensors");
    for (int i = 0; i < net_param_count(net) && status == IDDPM_OK; i++)
        compare(net_param(net, i), whose, n, tensors, seen, out);
    for (int i = 0; i < n && status == IDDPM_OK; i++)
        if (!seen[i])
            differ(out, "%s %s: %s network has none of that name", tensors[i].name, shape(&tensors[i], text), whose);
    free(seen);
    net_destroy(net);
    return status;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void number(struct unet_key *key, const char *name, int value)
{
    key->key = name;
    snprintf(key->value, sizeof key->value, "%d", value);
}

static void flag(struct unet_key *key, const char *name, bool value)
{
    key->key = name;
    snprintf(key->value, sizeof key->value, "%s", value ? "true" : "false");
}

static void list(struct unet_key *key, const char *name, int n, const int *values)
{
    key->key = name;
    key->value[0] = 0;
    for (int i = 0, used = 0; i < n && used < (int)sizeof key->value; i++)
        used += snprintf(key->value + used, sizeof key->value - (size_t)used, "%s%d", i ? "," : "", values[i]);
}

void unet_options_keys(const struct unet_options *o, struct unet_key keys[UNET_KEYS])
{
    int attention[UNET_LEVELS_MAX], n = 0, k = 0;
    for (int level = 0; level < o->n_mult; level++)
        if (unet_attends(o, 1 << level)) attention[n++] = o->image_size >> level;
    number(&keys[k++], "model.image_size", o->image_size);
    number(&keys[k++], "model.large_size", o->super_res ? o->image_size : 0);
    number(&keys[k++], "model.small_size", o->super_res);
    number(&keys[k++], "model.in_channels", o->in_channels);
    number(&keys[k++], "model.num_channels", o->model_channels);
    list(&keys[k++], "model.channel_mult", o->n_mult, o->channel_mult);
    number(&keys[k++], "model.num_res_blocks", o->num_res_blocks);
    list(&keys[k++], "model.attention_resolutions", n, attention);
    flag(&keys[k++], "model.use_scale_shift_norm", o->use_scale_shift_norm);
    flag(&keys[k++], "model.conv_resample", o->conv_resample);
    flag(&keys[k++], "model.class_cond", o->num_classes > 0);
    number(&keys[k++], "model.num_classes", o->num_classes);
    flag(&keys[k++], "diffusion.learn_sigma", o->out_channels != o->in_channels);
}
