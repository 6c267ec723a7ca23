/* CRC-32 by folding is zlib's. */
#include "../../src/store/crc32.h"
#include "check.h"
#include "iddpm/base.h"

#include <string.h>
#include <zlib.h>

static void same_as_zlib(void **state)
{
    enum { WORDS = 300, BYTES = 4 * WORDS };
    (void)state;
    uint32_t words[WORDS];
    const unsigned char *data = (const unsigned char *)words;
    rng_uint32(&(struct rng){1, RNG_TEST, 0, 0}, 0, WORDS, words);
    for (size_t begin = 0; begin < 17; begin++) /* also not aligned */
        for (size_t bytes = 0; bytes <= BYTES - begin; bytes++) {
            assert_int_equal(crc32_of(0, data + begin, bytes), crc32_z(0, data + begin, bytes));
            assert_int_equal(crc32_of(0x12345678, data + begin, bytes), crc32_z(0x12345678, data + begin, bytes));
        }
}

static void pieces_continue(void **state)
{
    (void)state;
    const char *text = "The quick brown fox jumps over the lazy dog, and the lazy dog does not mind it at all, ever.";
    for (size_t cut = 0; cut <= strlen(text); cut++)
        assert_int_equal(crc32_of(crc32_of(0, text, cut), text + cut, strlen(text) - cut),
                         crc32_of(0, text, strlen(text)));
    assert_int_equal(crc32_of(0, "123456789", 9), 0xcbf43926); /* the check value of CRC-32 */
    assert_int_equal(crc32_of(0, NULL, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_zlib), cmocka_unit_test(pieces_continue)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
