/* Chains on their way: what a stopped job needs to go on in their middle, on any number of ranks. Written whole to a
 * temporary file that then takes the name of the old one. */
#include "sample.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* Before the images of a batch; each of those has a checksum behind it. */
struct batch_head {
    uint64_t index;
    uint32_t images, steps, zero, crc; /* of what is before it */
};
enum { CRC = sizeof(uint32_t) };

struct sample_chains_writer {
    FILE *stream;
    char path[PATH_SIZE + 16], temporary[PATH_SIZE + 32];
    size_t bytes;
    uint32_t seed; /* of the checksums of a batch: that of its head */
};

static uint32_t head_crc(const struct batch_head *head)
{
    return (uint32_t)crc32_z(0, (const Bytef *)head, offsetof(struct batch_head, crc));
}

static uint32_t image_crc(uint32_t seed, const void *data, size_t bytes)
{
    return (uint32_t)crc32_z(seed, data, bytes);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

const struct sample_chain *sample_chains_find(const struct sample_chains *chains, uint64_t index)
{
    for (size_t i = 0; i < chains->n; i++)
        if (chains->list[i].index == index) return &chains->list[i];
    return NULL;
}

enum iddpm_status sample_chains_read(const struct sample_chains *chains, const struct sample_chain *chain,
                                     uint32_t image, void *out)
{
    uint32_t crc;
    uint64_t at = chain->at + image * (uint64_t)(chains->bytes + CRC);
    const struct batch_head head = {.index = chain->index, .images = chain->images, .steps = chain->steps};
    TRY(sample_read_at(chains->fd, chains->path, out, chains->bytes, at));
    TRY(sample_read_at(chains->fd, chains->path, &crc, CRC, at + chains->bytes));
    if (crc == image_crc(head_crc(&head), out, chains->bytes)) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: a chain of batch %llu is damaged", chains->path,
                       (unsigned long long)chain->index);
}

/* Whether every image of the batch is whole. */
static bool is_whole(const struct sample_chains *chains, const struct sample_chain *chain, void *room)
{
    for (uint32_t i = 0; i < chain->images; i++)
        if (sample_chains_read(chains, chain, i, room) != IDDPM_OK) return false;
    return true;
}

/* The batches behind the head of the file. */
static enum iddpm_status list_batches(struct sample_chains *chains, uint64_t at, uint64_t end, void *room)
{
    struct batch_head head;
    while (at < end) {
        TRY(sample_read_at(chains->fd, chains->path, &head, sizeof head, at));
        if (head.crc != head_crc(&head)) return iddpm_error(IDDPM_FAILED, "%s is damaged", chains->path);
        const struct sample_chain chain = {head.index, head.images, head.steps, at + sizeof head};
        if (!is_whole(chains, &chain, room)) return IDDPM_FAILED;
        TRY(mem_grow(&chains->list, &chains->capacity, chains->n + 1, sizeof *chains->list, "list of chains"));
        chains->list[chains->n++] = chain;
        at = chain.at + head.images * (uint64_t)(chains->bytes + CRC);
    }
    return IDDPM_OK;
}

static enum iddpm_status read_list(struct sample_chains *chains)
{
    size_t head;
    void *room;
    off_t end = lseek(chains->fd, 0, SEEK_END);
    TRY(sample_head_check(chains->fd, chains->path, SAMPLE_FILE_CHAINS, chains->bytes, chains->n_settings,
                          chains->settings, &head));
    TRY(mem_alloc(&room, chains->bytes, 1, "a chain"));
    enum iddpm_status status = list_batches(chains, head, (uint64_t)end, room);
    free(room);
    return status;
}

static void forget(struct sample_chains *chains)
{
    if (chains->fd >= 0) close(chains->fd);
    chains->fd = -1;
    chains->n = 0;
}

/* The file that is there now, if any. */
static void open_file(struct sample_chains *chains)
{
    forget(chains);
    chains->fd = open(chains->path, O_RDONLY | O_CLOEXEC);
    if (chains->fd < 0 || read_list(chains) == IDDPM_OK) return;
    log_warn("%s; it is not used", iddpm_error_text());
    forget(chains);
}

enum iddpm_status sample_chains_open(struct sample_chains **out, const char *part, size_t bytes, int n,
                                     const struct store_attribute *settings)
{
    TRY(mem_alloc(out, 1, sizeof **out, part));
    struct sample_chains *chains = *out;
    *chains = (struct sample_chains){.fd = -1, .bytes = bytes, .n_settings = n, .settings = settings};
    if (asprintf(&chains->path, "%s.chains", part) < 0) chains->path = NULL;
    if (!chains->path) {
        sample_chains_close(chains);
        *out = NULL;
        return iddpm_error(IDDPM_FAILED, "%s: no memory", part);
    }
    open_file(chains);
    return IDDPM_OK;
}

void sample_chains_close(struct sample_chains *chains)
{
    if (!chains) return;
    forget(chains);
    free(chains->list);
    free(chains->path);
    free(chains);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static enum iddpm_status emit(struct sample_chains_writer *writer, const void *data, size_t bytes)
{
    if (fwrite(data, 1, bytes, writer->stream) == bytes) return IDDPM_OK;
    return iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", writer->path, strerror(errno));
}

static enum iddpm_status begin_file(struct sample_chains_writer *writer, const struct sample_chains *chains)
{
    void *head;
    size_t bytes;
    writer->stream = fopen(writer->temporary, "wb");
    if (!writer->stream) return iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", writer->path, strerror(errno));
    TRY(sample_head_make(SAMPLE_FILE_CHAINS, chains->bytes, chains->n_settings, chains->settings, &head, &bytes));
    enum iddpm_status status = emit(writer, head, bytes);
    free(head);
    return status;
}

enum iddpm_status sample_chains_begin(struct sample_chains_writer **out, const struct sample_chains *chains)
{
    TRY(mem_alloc(out, 1, sizeof **out, chains->path));
    struct sample_chains_writer *writer = *out;
    writer->bytes = chains->bytes;
    snprintf(writer->path, sizeof writer->path, "%s", chains->path);
    snprintf(writer->temporary, sizeof writer->temporary, "%s.tmp", chains->path);
    return begin_file(writer, chains);
}

enum iddpm_status sample_chains_batch(struct sample_chains_writer *writer, uint64_t index, uint32_t images,
                                      uint32_t steps)
{
    struct batch_head head = {.index = index, .images = images, .steps = steps};
    head.crc = writer->seed = head_crc(&head);
    return emit(writer, &head, sizeof head);
}

enum iddpm_status sample_chains_image(struct sample_chains_writer *writer, const void *bytes)
{
    uint32_t crc = image_crc(writer->seed, bytes, writer->bytes);
    TRY(emit(writer, bytes, writer->bytes));
    return emit(writer, &crc, sizeof crc);
}

static enum iddpm_status copy_batch(struct sample_chains_writer *writer, const struct sample_chains *chains,
                                    const struct sample_chain *chain, void *room)
{
    TRY(sample_chains_batch(writer, chain->index, chain->images, chain->steps));
    for (uint32_t i = 0; i < chain->images; i++) {
        TRY(sample_chains_read(chains, chain, i, room));
        TRY(sample_chains_image(writer, room));
    }
    return IDDPM_OK;
}

enum iddpm_status sample_chains_copy(struct sample_chains_writer *writer, const struct sample_chains *chains,
                                     uint64_t index)
{
    void *room;
    TRY(mem_alloc(&room, chains->bytes, 1, "a chain"));
    enum iddpm_status status = IDDPM_OK;
    for (size_t i = 0; i < chains->n && status == IDDPM_OK; i++)
        if (chains->list[i].index >= index) status = copy_batch(writer, chains, &chains->list[i], room);
    free(room);
    return status;
}

enum iddpm_status sample_chains_end(struct sample_chains_writer *writer, struct sample_chains *chains,
                                    enum iddpm_status status)
{
    if (!writer) return status;
    FILE *stream = writer->stream;
    bool failed = stream && (fflush(stream) != 0 || fsync(fileno(stream)) != 0);
    if (stream && fclose(stream) != 0) failed = true;
    if (status == IDDPM_OK && (failed || rename(writer->temporary, writer->path) != 0))
        status = iddpm_error(IDDPM_FAILED, "%s: cannot write: %s", writer->path, strerror(errno));
    if (status != IDDPM_OK) unlink(writer->temporary);
    free(writer);
    if (status == IDDPM_OK) open_file(chains);
    return status;
}
