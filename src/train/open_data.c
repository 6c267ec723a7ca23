#include "iddpm/train.h"

#include <stdlib.h>

enum iddpm_status train_open_data(const struct parallel *parallel, struct dataset **out, const char *folder)
{
    char *text = NULL;
    *out = NULL;
    TRY(parallel_agree(parallel, parallel->rank == 0 ? dataset_index_text(folder, &text) : IDDPM_OK));
    enum iddpm_status status = parallel_broadcast_text(parallel, &text);
    if (status == IDDPM_OK) status = parallel_agree(parallel, dataset_parse(out, folder, text));
    free(text);
    if (status == IDDPM_OK) return status;
    dataset_close(*out);
    *out = NULL;
    return status;
}
