/* Files of a job of samples on its way: what is whole counts, whatever else is in them. */
#include "../../src/evaluate/sample.h"
#include "reference.h"
#include "scratch.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { RECORD = 24, N = 7, BATCH = 2 };

static char folder[PATH_SIZE], path[PATH_SIZE], chains_path[PATH_SIZE + 8];
static struct store_attribute settings[2];

static void fill(uint64_t image, uint8_t *record)
{
    for (int k = 0; k < RECORD; k++) record[k] = (uint8_t)(image * 31 + (uint64_t)k * 7);
}

static struct sample_part *open_part(uint64_t images)
{
    struct sample_part *part;
    if (sample_part_open(&part, path, RECORD, BATCH, images, 2, settings) != IDDPM_OK)
        fail_msg("%s", iddpm_error_text());
    return part;
}

/* How many images are found, each as it was. */
/* What was set aside before is removed. */
static uint64_t found(uint64_t images)
{
    char old[PATH_SIZE + 8];
    snprintf(old, sizeof old, "%s.old", path);
    remove(old);
    struct sample_part *part = open_part(images);
    uint8_t want[RECORD], got[RECORD];
    uint64_t n = part->images;
    for (uint64_t i = 0; i < n; i++) {
        fill(i, want);
        assert_int_equal(sample_part_read(part, i, got), IDDPM_OK);
        assert_memory_equal(got, want, RECORD);
    }
    sample_part_close(part);
    return n;
}

static size_t write_part(uint8_t **bytes)
{
    uint8_t record[RECORD];
    size_t n;
    unlink(path);
    struct sample_part *part = open_part(N);
    assert_int_equal(part->images, 0);
    for (uint64_t i = 0; i < N; i++) {
        fill(i, record);
        assert_int_equal(sample_part_append(part, record), IDDPM_OK);
    }
    assert_int_equal(sample_part_sync(part), IDDPM_OK);
    sample_part_close(part);
    *bytes = scratch_read(path, &n);
    return n;
}

/* Of a torn file whole batches are left, of a whole one all images. */
static void torn_images_are_cut_off(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t n = write_part(&bytes), head = n - N * (RECORD + 4);
    assert_int_equal(found(N), N);
    for (size_t length = 0; length < n; length++) {
        uint64_t whole = length < head ? 0 : (length - head) / (RECORD + 4);
        scratch_write(path, bytes, length);
        assert_int_equal(found(N), whole - whole % BATCH);
        assert_int_equal(found(N), whole - whole % BATCH); /* what was cut off is gone */
    }
    free(bytes);
}

static void damaged_images_are_not_used(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t n = write_part(&bytes), head = n - N * (RECORD + 4);
    for (size_t at = 0; at < n; at++) {
        uint64_t whole = at < head ? 0 : (at - head) / (RECORD + 4);
        bytes[at] ^= 0x10;
        scratch_write(path, bytes, n);
        bytes[at] ^= 0x10;
        assert_int_equal(found(N), whole - whole % BATCH);
    }
    memset(bytes + head, 0, n - head); /* space that was never written */
    scratch_write(path, bytes, n);
    assert_int_equal(found(N), 0);
    free(bytes);
}

static void other_settings_are_another_job(void **state)
{
    (void)state;
    uint8_t *bytes;
    write_part(&bytes);
    free(bytes);
    settings[0].text = "elsewhere"; /* a name */
    assert_int_equal(found(N), N);
    settings[1].integer++;
    assert_int_equal(found(N), 0);
    assert_non_null(strstr(iddpm_error_text(), "is of a job with another seed"));
    settings[1].integer--;
    char old[PATH_SIZE + 8]; /* it is kept under this name */
    snprintf(old, sizeof old, "%s.old", path);
    assert_int_equal(rename(old, path), 0);
    assert_int_equal(found(N), N);
    for (int i = 0; i < 2; i++) { /* twice: neither goes */
        settings[1].integer++;
        sample_part_close(open_part(N));
    }
    settings[1].integer -= 2;
    snprintf(old, sizeof old, "%s.old-2", path);
    assert_int_equal(remove(old), 0);
    assert_int_equal(found(N), 0);
    assert_int_equal(found(N), 0); /* for the tests behind, nothing is left */
}

/* ---- chains ------------------------------------------------------------------------------------------------------ */

static struct sample_chains *open_chains(void)
{
    struct sample_chains *chains;
    assert_int_equal(sample_chains_open(&chains, path, RECORD, 2, settings), IDDPM_OK);
    return chains;
}

/* Batches 3 and 4 with `steps` behind them, and from the file those from 5 on. */
static void write_chains(struct sample_chains *chains, uint32_t steps, uint64_t last)
{
    struct sample_chains_writer *writer;
    uint8_t record[RECORD];
    assert_int_equal(sample_chains_begin(&writer, chains), IDDPM_OK);
    for (uint64_t index = 3; index <= last; index++) {
        assert_int_equal(sample_chains_batch(writer, index, BATCH, steps), IDDPM_OK);
        for (uint64_t i = 0; i < BATCH; i++) {
            fill(index * BATCH + i + steps, record);
            assert_int_equal(sample_chains_image(writer, record), IDDPM_OK);
        }
    }
    assert_int_equal(sample_chains_copy(writer, chains, 5), IDDPM_OK);
    assert_int_equal(sample_chains_end(writer, chains, IDDPM_OK), IDDPM_OK);
}

static void check_chain(const struct sample_chains *chains, uint64_t index, uint32_t steps)
{
    uint8_t want[RECORD], got[RECORD];
    const struct sample_chain *chain = sample_chains_find(chains, index);
    assert_non_null(chain);
    assert_int_equal(chain->steps, steps);
    assert_int_equal(chain->images, BATCH);
    for (uint32_t i = 0; i < BATCH; i++) {
        fill(index * BATCH + i + steps, want);
        assert_int_equal(sample_chains_read(chains, chain, i, got), IDDPM_OK);
        assert_memory_equal(got, want, RECORD);
    }
}

static void chains_are_written_over_and_kept(void **state)
{
    (void)state;
    struct sample_chains *chains = open_chains();
    assert_int_equal(chains->n, 0);
    write_chains(chains, 11, 6);
    assert_int_equal(chains->n, 4);
    write_chains(chains, 12, 4); /* fewer ranks: two batches are as they were */
    sample_chains_close(chains);
    chains = open_chains();
    assert_int_equal(chains->n, 4);
    for (uint64_t index = 3; index <= 6; index++) check_chain(chains, index, index < 5 ? 12 : 11);
    assert_null(sample_chains_find(chains, 7));
    struct sample_chains_writer *writer;
    assert_int_equal(sample_chains_begin(&writer, chains), IDDPM_OK);
    assert_int_equal(sample_chains_end(writer, chains, IDDPM_FAILED), IDDPM_FAILED); /* the old ones stay */
    check_chain(chains, 6, 11);
    sample_chains_close(chains);
    assert_int_equal(scratch_entries(folder), 2);
}

static void damaged_chains_are_not_used(void **state)
{
    (void)state;
    size_t n;
    uint8_t *bytes = scratch_read(chains_path, &n);
    for (size_t at = 0; at < n; at++) {
        bytes[at] ^= 0x10;
        scratch_write(chains_path, bytes, n);
        bytes[at] ^= 0x10;
        struct sample_chains *chains = open_chains();
        assert_int_equal(chains->n, 0);
        sample_chains_close(chains);
    }
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(torn_images_are_cut_off),        cmocka_unit_test(damaged_images_are_not_used),
        cmocka_unit_test(other_settings_are_another_job), cmocka_unit_test(chains_are_written_over_and_kept),
        cmocka_unit_test(damaged_chains_are_not_used),
    };
    scratch_make(folder);
    if (path_join(path, folder, "samples.part") != IDDPM_OK) return 1;
    snprintf(chains_path, sizeof chains_path, "%s.chains", path);
    settings[0] = setting_text("checkpoint", "here");
    settings[1] = setting_integer("seed", 5);
    log_set_quiet(true); /* warnings of every damage */
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    scratch_remove(folder);
    return failed;
}
