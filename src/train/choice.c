#include "choice.h"

#include "iddpm/kernels.h"

#include <stdlib.h>
#include <string.h>

#define FILE_NAME "kernels.txt"
#define FILE_LIMIT 65536 /* bytes */

static const char *const names[NET_ALGORITHMS] = {"direct", "winograd2", "winograd4"};

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* A line "8x8 256 to 256: winograd4" */
static bool parse_line(const char *line, struct net_kernel *out)
{
    char name[16];
    int end = 0;
    if (sscanf(line, "%dx%d %d to %d: %15[a-z0-9]%n", &out->h, &out->w, &out->c_in, &out->c_out, name, &end) != 5)
        return false;
    if (line[end] && line[end] != '\n') return false;
    for (out->algorithm = CONV_DIRECT; out->algorithm < NET_ALGORITHMS; out->algorithm++)
        if (strcmp(name, names[out->algorithm]) == 0) return true;
    return false;
}

/* Behind the line of the instruction set. */
static enum iddpm_status parse(const char *path, const char *text, struct net_kernels *out)
{
    for (const char *line = text; *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : line + strlen(line)) {
        if (out->n == NET_KERNELS_MAX || !parse_line(line, &out->of[out->n]))
            return iddpm_error(IDDPM_FAILED,
                               "%s: cannot be read: '%.*s'; remove it, and the kernels will be measured again", path,
                               (int)strcspn(line, "\n"), line);
        out->n++;
    }
    return IDDPM_OK;
}

/* Rank 0. Leaves out->n 0 when there is none for this instruction set. */
static enum iddpm_status read_file(const char *run, struct net_kernels *out)
{
    char path[PATH_SIZE], isa[16], *text;
    int start = 0;
    out->n = 0;
    TRY(path_join(path, run, FILE_NAME));
    if (!path_exists(path)) return IDDPM_OK;
    TRY(path_read_text(path, FILE_LIMIT, &text));
    enum iddpm_status status = IDDPM_OK;
    if (sscanf(text, "instruction set %15[a-z0-9]%n", isa, &start) == 1 &&
        strcmp(isa, kernels_isa_of(ELEMENT_FLOAT32)) != 0)
        log_warn("%s was measured with instruction set '%s': measured again", path, isa);
    else
        status = parse(path, start && text[start] == '\n' ? text + start + 1 : text, out);
    free(text);
    return status;
}

enum iddpm_status choice_write(const struct trainer *t)
{
    char path[PATH_SIZE], text[FILE_LIMIT];
    if (t->kernels.n == 0) return IDDPM_OK;
    size_t used = (size_t)snprintf(text, sizeof text, "instruction set %s\n", kernels_isa_of(ELEMENT_FLOAT32));
    for (int i = 0; i < t->kernels.n && used < sizeof text; i++) {
        const struct net_kernel *of = &t->kernels.of[i];
        used += (size_t)snprintf(text + used, sizeof text - used, "%dx%d %d to %d: %s\n", of->h, of->w, of->c_in,
                                 of->c_out, names[of->algorithm]);
    }
    TRY(path_join(path, t->config->run.dir, FILE_NAME));
    return path_write_text(path, text);
}

/* ---- the measurement --------------------------------------------------------------------------------------------- */

static enum iddpm_status find_shapes(const struct trainer *t, struct conv_shape *shapes, int *n)
{
    struct net *net;
    TRY(net_create(&net, t->plan.microbatch, NET_TRAINING, kernels_threads()));
    unet_build(net, &t->plan.spec.unet);
    enum iddpm_status status = net_finish(net, false);
    if (status == IDDPM_OK) *n = net_conv_shapes(net, shapes);
    net_destroy(net);
    return status;
}

/* Collective: the sums of all ranks' seconds are the same on all of them, and so is the choice. */
static enum iddpm_status measure(struct trainer *t, int n, const struct conv_shape *shapes)
{
    for (int i = 0; i < n; i++) {
        double seconds[NET_ALGORITHMS] = {0};
        watchdog_at("measuring the kernels", -1);
        TRY(parallel_agree(t->parallel, net_measure(&shapes[i], seconds)));
        TRY(parallel_sum_double(t->parallel, seconds, NET_ALGORITHMS));
        struct net_kernel *of = &t->kernels.of[i];
        *of = (struct net_kernel){shapes[i].h, shapes[i].w, shapes[i].c_in, shapes[i].c_out, CONV_DIRECT};
        for (enum conv_algorithm k = CONV_WINOGRAD2; k < NET_ALGORITHMS; k++)
            if (seconds[k] < seconds[of->algorithm]) of->algorithm = k;
    }
    t->kernels.n = n;
    return IDDPM_OK;
}

enum iddpm_status choose_kernels(struct trainer *t)
{
    const struct parallel *parallel = t->parallel;
    struct conv_shape shapes[NET_KERNELS_MAX];
    int n = 0;
    if (t->plan.reduction == REDUCTION_REPRODUCIBLE || t->plan.spec.unet.kernels != CONV_CHOICE_AUTO) return IDDPM_OK;
    watchdog_at("choosing the kernels", -1);
    enum iddpm_status status = find_shapes(t, shapes, &n);
    if (parallel->rank == 0 && status == IDDPM_OK) status = read_file(t->config->run.dir, &t->kernels);
    TRY(parallel_agree(parallel, status));
    TRY(parallel_broadcast(parallel, &t->kernels, sizeof t->kernels));
    double start = clock_seconds();
    if (t->kernels.n == 0 && n > 0) {
        TRY(measure(t, n, shapes));
        log_info("kernels of %d convolution shapes measured in %.1f s", n, clock_seconds() - start);
    }
    t->plan.spec.unet.measured = &t->kernels;
    return IDDPM_OK;
}
