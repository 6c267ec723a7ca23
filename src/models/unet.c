/* The authors' UNet (unet.py, UNetModel and SuperResModel), op by op and name by name. */
#include "unet.h"

#include <fnmatch.h>
#include <string.h>

enum { NONE = -1 };

struct builder {
    struct net *net;
    const struct unet_options *o;
    int emb; /* SiLU of the embedding of timestep and class; every block starts with it */
    int skips[UNET_SKIPS_MAX], n_skips;
};

/* "input_blocks.3.0" and a part of it, in one of a few buffers that outlive the call they are an argument of */
static const char *name(const char *block, const char *part)
{
    static _Thread_local char names[4][128];
    static _Thread_local unsigned next;
    char *out = names[next++ % 4];
    snprintf(out, sizeof names[0], "%s.%s", block, part);
    return out;
}

static int res_block(struct builder *b, const char *block, int x, int c_out)
{
    struct net *net = b->net;
    bool shift_only = !b->o->use_scale_shift_norm, same = net_channels(net, x) == c_out;
    int h = net_group_norm(net, name(block, "in_layers.0"), x, NONE, NONE, true, 0);
    h = net_conv3x3(net, name(block, "in_layers.2"), h, c_out, 1, NONE, NET_INIT_DEFAULT);
    int emb =
        net_linear(net, name(block, "emb_layers.1"), b->emb, shift_only ? c_out : 2 * c_out, 0, NONE, NET_INIT_DEFAULT);
    h = net_group_norm(net, name(block, "out_layers.0"), h, shift_only ? emb : NONE, shift_only ? NONE : emb, true,
                       b->o->dropout);
    h = net_conv3x3(net, name(block, "out_layers.3"), h, c_out, 1, same ? x : NONE, NET_INIT_ZERO);
    return same ? h : net_linear(net, name(block, "skip_connection"), x, c_out, 2, h, NET_INIT_DEFAULT);
}

static int attention_block(struct builder *b, const char *block, int x, int heads)
{
    struct net *net = b->net;
    int c = net_channels(net, x);
    int h = net_group_norm(net, name(block, "norm"), x, NONE, NONE, false, 0);
    h = net_linear(net, name(block, "qkv"), h, 3 * c, 1, NONE, NET_INIT_DEFAULT);
    h = net_attention(net, h, heads);
    return net_linear(net, name(block, "proj_out"), h, c, 1, x, NET_INIT_ZERO);
}

bool unet_block_is_in(const char *patterns, const char *block)
{
    char pattern[128];
    for (const char *at = patterns; *at; at += *at == ',') {
        size_t length = strcspn(at, ",");
        snprintf(pattern, sizeof pattern, "%.*s", (int)length, at);
        if (length < sizeof pattern && fnmatch(pattern, block, 0) == 0) return true;
        at += length;
    }
    return false;
}

/* h is the output of a block. */
static int keep(struct builder *b, const char *block, int h)
{
    if (b->o->features && unet_block_is_in(b->o->features, block)) net_keep(b->net, block, h);
    return h;
}

static int keep_numbered(struct builder *b, const char *kind, int index, int h)
{
    char block[64];
    snprintf(block, sizeof block, "%s.%d", kind, index);
    return keep(b, block, h);
}

/* Past the room (unet_skips) one is not kept; output_blocks then runs out of them, and the net fails to finish. */
static void push(struct builder *b, int value)
{
    if (b->n_skips < UNET_SKIPS_MAX) b->skips[b->n_skips++] = value;
}

static int input_blocks(struct builder *b, int x)
{
    const struct unet_options *o = b->o;
    char block[64];
    int index = 0, ds = 1;
    int h = net_conv3x3(b->net, "input_blocks.0.0", x, o->model_channels, 1, NONE, NET_INIT_DEFAULT);
    push(b, keep_numbered(b, "input_blocks", 0, h));
    for (int level = 0; level < o->n_mult; level++) {
        for (int i = 0; i < o->num_res_blocks; i++) {
            snprintf(block, sizeof block, "input_blocks.%d.0", ++index);
            h = res_block(b, block, h, o->channel_mult[level] * o->model_channels);
            snprintf(block, sizeof block, "input_blocks.%d.1", index);
            if (unet_attends(o, ds)) h = attention_block(b, block, h, o->num_heads);
            push(b, keep_numbered(b, "input_blocks", index, h));
        }
        if (level == o->n_mult - 1) break;
        snprintf(block, sizeof block, "input_blocks.%d.0.op", ++index);
        h = o->conv_resample ? net_conv3x3(b->net, block, h, net_channels(b->net, h), 2, NONE, NET_INIT_DEFAULT)
                             : net_avg_pool(b->net, h);
        push(b, keep_numbered(b, "input_blocks", index, h));
        ds *= 2;
    }
    return h;
}

static int output_blocks(struct builder *b, int h)
{
    const struct unet_options *o = b->o;
    int heads = o->num_heads_upsample == -1 ? o->num_heads : o->num_heads_upsample;
    char block[64];
    int index = 0, ds = 1 << (o->n_mult - 1);
    for (int level = o->n_mult - 1; level >= 0; level--)
        for (int i = 0; i <= o->num_res_blocks; i++, index++) {
            int part = 0;
            h = net_concat(b->net, h, b->n_skips > 0 ? b->skips[--b->n_skips] : NONE);
            snprintf(block, sizeof block, "output_blocks.%d.%d", index, part++);
            h = res_block(b, block, h, o->channel_mult[level] * o->model_channels);
            if (unet_attends(o, ds)) {
                snprintf(block, sizeof block, "output_blocks.%d.%d", index, part++);
                h = attention_block(b, block, h, heads);
            }
            if (level > 0 && i == o->num_res_blocks) {
                snprintf(block, sizeof block, "output_blocks.%d.%d.conv", index, part);
                h = net_upsample(b->net, h);
                if (o->conv_resample)
                    h = net_conv3x3(b->net, block, h, net_channels(b->net, h), 1, NONE, NET_INIT_DEFAULT);
                ds /= 2;
            }
            keep_numbered(b, "output_blocks", index, h);
        }
    return h;
}

static int embedding(struct net *net, const struct unet_options *o)
{
    int emb = net_timesteps(net, o->model_channels);
    emb = net_linear(net, "time_embed.0", emb, 4 * o->model_channels, 0, NONE, NET_INIT_DEFAULT);
    emb = net_silu(net, emb);
    emb = net_linear(net, "time_embed.2", emb, 4 * o->model_channels, 0, NONE, NET_INIT_DEFAULT);
    if (o->num_classes > 0) emb = net_label_embedding(net, "label_emb", emb, o->num_classes + o->null_class);
    return net_silu(net, emb);
}

void unet_build(struct net *net, const struct unet_options *o)
{
    struct builder b = {.net = net, .o = o};
    net_choose_kernels(net, o->kernels, o->measured);
    if (o->use_checkpoint) net_recompute(net);
    int x = net_input(net, o->image_size, o->image_size, o->in_channels);
    if (o->super_res) {
        int low = net_input(net, o->super_res, o->super_res, o->in_channels);
        x = net_concat(net, x, net_bilinear(net, low, o->image_size, o->image_size));
    }
    b.emb = embedding(net, o);
    x = net_convert(net, x, o->precision);
    int h = input_blocks(&b, x);
    int c = net_channels(net, h);
    h = res_block(&b, "middle_block.0", h, c);
    h = attention_block(&b, "middle_block.1", h, o->num_heads);
    h = keep(&b, "middle_block", res_block(&b, "middle_block.2", h, c));
    h = output_blocks(&b, h);
    h = net_convert(net, h, ELEMENT_FLOAT32);
    h = net_group_norm(net, "out.0", h, NONE, NONE, true, 0);
    net_output(net, net_conv3x3(net, "out.2", h, o->out_channels, 1, NONE, NET_INIT_ZERO));
}

void unet_set_input(struct net *net, const struct unet_options *options, int k, int n, int batch, const double *x)
{
    size_t size = (size_t)(k ? options->super_res : options->image_size), channels = (size_t)options->in_channels;
    size_t pitch = (size_t)net_input_pitch(net, k), used = (size_t)n * size * size, all = (size_t)batch * size * size;
    float *input = net_input_data(net, k);
    for (size_t i = 0; i < all; i++)
        for (size_t c = 0; c < channels; c++) input[i * pitch + c] = i < used ? (float)x[i * channels + c] : 0;
}

static enum iddpm_status create(struct net **out, const struct unet_options *options, int batch, enum net_mode mode,
                                int threads, bool allocate)
{
    TRY(net_create(out, batch, mode, threads));
    unet_build(*out, options);
    enum iddpm_status status = net_finish(*out, allocate);
    if (status == IDDPM_OK) return status;
    net_destroy(*out);
    *out = NULL;
    return status;
}

enum iddpm_status unet_create(struct net **out, const struct unet_options *options, int batch, enum net_mode mode,
                              int threads)
{
    return create(out, options, batch, mode, threads, true);
}

enum iddpm_status unet_plan(struct net **out, const struct unet_options *options, int batch, enum net_mode mode,
                            int threads)
{
    return create(out, options, batch, mode, threads, false);
}
