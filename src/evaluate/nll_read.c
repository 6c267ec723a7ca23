/* What was measured, read again. */
#include "iddpm/evaluate.h"

#include <stdlib.h>

/* One row for each member that is an attribute. */
struct member {
    const char *name;
    double *number;
    int64_t *integer;
    char **text;
};

static enum iddpm_status read_members(const char *path, int n, const struct member *members)
{
    enum { MOST = 32 };
    struct store_attribute attributes[MOST];
    for (int i = 0; i < n; i++) {
        attributes[i] = (struct store_attribute){.name = members[i].name, .kind = STORE_TEXT};
        if (members[i].number) attributes[i].kind = STORE_NUMBER;
        if (members[i].integer) attributes[i].kind = STORE_INTEGER;
    }
    TRY(store_read_attributes(path, n, attributes));
    for (int i = 0; i < n; i++) {
        if (members[i].number) *members[i].number = attributes[i].number;
        if (members[i].integer) *members[i].integer = attributes[i].integer;
        if (members[i].text) *members[i].text = (char *)attributes[i].text;
    }
    return IDDPM_OK;
}

static enum iddpm_status read_attributes(struct nll_result *r, const char *path)
{
    int64_t images, clip;
    const struct member members[] = {
        {"bits_per_dim", .number = &r->bits_per_dim},
        {"standard_error", .number = &r->standard_error},
        {"mean_vb", .number = &r->vb},
        {"mean_prior", .number = &r->prior},
        {"mean_mse", .number = &r->mse},
        {"mean_xstart_mse", .number = &r->xstart_mse},
        {"images", .integer = &images},
        {"step", .integer = &r->step},
        {"diffusion_steps", .integer = &r->diffusion_steps},
        {"num_timesteps", .integer = &r->num_timesteps},
        {"strata", .integer = &r->strata},
        {"seed", .integer = &r->seed},
        {"batch", .integer = &r->batch},
        {"clip_denoised", .integer = &clip},
        {"checkpoint", .text = &r->checkpoint},
        {"weights", .text = &r->weights},
        {"data", .text = &r->data},
        {"data_hash", .text = &r->data_hash},
        {"noise_schedule", .text = &r->noise_schedule},
        {"respacing", .text = &r->respacing},
        {"noise", .text = &r->noise},
        {"instruction_set", .text = &r->instruction_set},
    };
    TRY(read_members(path, sizeof members / sizeof *members, members));
    r->images = (uint64_t)images;
    r->clip_denoised = clip != 0;
    return IDDPM_OK;
}

static enum iddpm_status read_total(struct nll_result *r, const char *path)
{
    struct store_array total;
    TRY(store_read(path, "total", STORE_F64, &total));
    r->total = total.data;
    if (total.ndim == 1 && total.dims[0] == r->images) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: total has not one number for each of the %llu images", path,
                       (unsigned long long)r->images);
}

enum iddpm_status nll_result_read(struct nll_result **out, const char *path)
{
    TRY(mem_alloc(out, 1, sizeof **out, "a result"));
    enum iddpm_status status = read_attributes(*out, path);
    if (status == IDDPM_OK) status = read_total(*out, path);
    if (status == IDDPM_OK) return status;
    nll_result_destroy(*out);
    *out = NULL;
    return status;
}

void nll_result_destroy(struct nll_result *r)
{
    if (!r) return;
    char *texts[] = {r->checkpoint,     r->weights,   r->data,  r->data_hash,
                     r->noise_schedule, r->respacing, r->noise, r->instruction_set};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) free(texts[i]);
    free(r->total);
    free(r);
}
