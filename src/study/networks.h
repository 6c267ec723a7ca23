/* Private to src/study: networks that are only counted. Points differ more often in other things than in these. */
#ifndef IDDPM_STUDY_NETWORKS_H
#define IDDPM_STUDY_NETWORKS_H

#include "iddpm/study.h"
#include "iddpm/train.h"

struct networks {
    int n;
    size_t capacity;
    struct network {
        char *key;
        int batch;
        struct net *net;
    } * all;
};
/* The network of a configuration in training, without memory of its own, for `batch` images; it belongs to `networks`.
 * `classes`: as model_spec_from_config. */
enum iddpm_status networks_get(struct networks *networks, const struct config *config, int classes, int batch,
                               struct net **out);
void networks_free(struct networks *networks);

#endif
