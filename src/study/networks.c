#include "networks.h"

#include "iddpm/models.h"

#include <stdlib.h>
#include <string.h>

/* Everything in a configuration that makes the network, as text. */
static enum iddpm_status network_key(const struct config *config, int classes, char **out)
{
    char *text, *key;
    TRY(config_text(config, &text));
    const char *model = strstr(text, "model:\n"), *end = strstr(text, "diffusion:\n");
    int n = asprintf(&key, "%.*s%d %d %s", (int)(end - model), model, classes, config->diffusion.learn_sigma,
                     config->parallel.kernels);
    free(text);
    if (n < 0) return iddpm_error(IDDPM_FAILED, "a network: no memory to count it");
    *out = key;
    return IDDPM_OK;
}

static enum iddpm_status count(const struct config *config, int classes, int batch, struct net **out)
{
    struct model_spec spec;
    TRY(model_spec_from_config(config, classes, NULL, &spec));
    TRY(net_create(out, batch, NET_TRAINING, 1));
    unet_build(*out, &spec.unet);
    enum iddpm_status status = net_finish(*out, false);
    if (status == IDDPM_OK) return IDDPM_OK;
    net_destroy(*out);
    *out = NULL;
    return status;
}

enum iddpm_status networks_get(struct networks *networks, const struct config *config, int classes, int batch,
                               struct net **out)
{
    char *key = NULL;
    TRY(network_key(config, classes, &key));
    for (int i = 0; i < networks->n; i++) {
        if (networks->all[i].batch != batch || strcmp(networks->all[i].key, key) != 0) continue;
        free(key);
        *out = networks->all[i].net;
        return IDDPM_OK;
    }
    enum iddpm_status status =
        mem_grow(&networks->all, &networks->capacity, (size_t)networks->n + 1, sizeof *networks->all, "networks");
    if (status == IDDPM_OK) status = count(config, classes, batch, out);
    if (status != IDDPM_OK) {
        free(key);
        return status;
    }
    networks->all[networks->n++] = (struct network){key, batch, *out};
    return IDDPM_OK;
}

void networks_free(struct networks *networks)
{
    for (int i = 0; i < networks->n; i++) {
        free(networks->all[i].key);
        net_destroy(networks->all[i].net);
    }
    free(networks->all);
    *networks = (struct networks){0};
}
