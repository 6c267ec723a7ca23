/* Names of what iddpm sample writes. */
#include "sample_command.h"

#include <string.h>

/* RUN/latents/step-00001200-DATA.h5 */
static enum iddpm_status name_latents(struct sample_command *command)
{
    const struct inference *inference = &command->inference;
    char name[PATH_SIZE] = "";
    int length;
    const char *data = result_name_last(command->data->folder, &length);
    result_name_add(name, "step-%08lld", (long long)inference->model->step);
    if (inference->weights) result_name_add(name, "-%s", inference->weights);
    result_name_add(name, "-%.*s", length, data);
    if (inference->respacing) result_name_add(name, "-%s", inference->respacing);
    if (command->base) result_name_add(name, "-base-%.8s", command->base->hash);
    if (command->images != command->more) result_name_add(name, "-num%lld", (long long)command->images);
    return result_name_path(command->path, inference, "latents", name, ".h5");
}

/* RUN/samples/step-00001200.png, and in the name what is not default. */
static enum iddpm_status name_picture(struct sample_command *command)
{
    const struct inference *inference = &command->inference;
    char name[PATH_SIZE] = "", eta[TEXT_NUMBER_SIZE];
    result_name_add(name, "step-%08lld", (long long)inference->model->step);
    if (inference->weights) result_name_add(name, "-%s", inference->weights);
    if (inference->respacing) result_name_add(name, "-%s", inference->respacing);
    if (command->ddim) result_name_add(name, "-ddim");
    text_from_number(command->eta, eta);
    if (command->eta != 0) result_name_add(name, "-eta%s", eta);
    if (command->start >= 0) result_name_add(name, "-start%lld", (long long)command->start);
    if (command->label >= 0) result_name_add(name, "-class%lld", (long long)command->label);
    if (command->base) result_name_add(name, "-base-%.8s", command->base->hash);
    if (command->columns > 0) result_name_add(name, "-progressive%lld", (long long)command->columns);
    if (command->xstart) result_name_add(name, "-xstart");
    if (command->images != command->more) result_name_add(name, "-num%lld", (long long)command->images);
    return result_name_path(command->path, inference, "samples", name, ".png");
}

/* The result's name with another ending. */
static enum iddpm_status put_ending(const struct sample_command *command, const char *ending, char *out)
{
    size_t length = (size_t)(strrchr(command->path, '.') - command->path);
    if (length + strlen(ending) >= PATH_SIZE - sizeof ".part.chains.tmp")
        return iddpm_error(IDDPM_USAGE, "sample: the path of the result is too long");
    memcpy(out, command->path, length);
    strcpy(out + length, ending);
    return IDDPM_OK;
}

enum iddpm_status sample_name(struct sample_command *command)
{
    if (command->out && strlen(command->out) >= PATH_SIZE)
        return iddpm_error(IDDPM_USAGE, "sample: the path of --out is too long");
    if (command->out)
        strcpy(command->path, command->out);
    else
        TRY(command->data ? name_latents(command) : name_picture(command));
    TRY(put_ending(command, ".npz", command->npz_path));
    TRY(put_ending(command, ".yaml", command->record));
    char ending[32];
    snprintf(ending, sizeof ending, "%s.part", strrchr(command->path, '.'));
    return put_ending(command, ending, command->part);
}
