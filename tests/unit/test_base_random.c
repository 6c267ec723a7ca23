/* Philox as a function: known answers, moments, equal values however they are asked for, permutations. */
#include "check.h"
#include "iddpm/base.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The vectors of Random123's kat_vectors for philox4x32-10; the first counter word is element / 4. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (int i = 0; i < 3; i++) {
        struct rng rng = {.seed = (uint64_t)cases[i].key[1] << 32 | cases[i].key[0],
                          .slot = cases[i].counter[1],
                          .step = cases[i].counter[2],
                          .purpose = cases[i].counter[3]};
        uint32_t got[4];
        rng_uint32(&rng, (uint64_t)cases[i].counter[0] * 4, 4, got);
        assert_memory_equal(got, cases[i].answer, sizeof got);
    }
}

static const struct rng key = {.seed = 42, .purpose = RNG_TEST, .step = 3, .slot = 5};

/* Any part of a stream is the same alone. */
static void parts_equal_the_whole(void **state)
{
    (void)state;
    enum { N = 40 };
    uint32_t words[N], part[N];
    double uniform[N], normal[N], some[N];
    rng_uint32(&key, 0, N, words);
    rng_uniform(&key, N, uniform);
    rng_normal(&key, N, normal);
    for (size_t first = 0; first < N; first++)
        for (size_t n = 0; n <= N - first; n++) {
            rng_uint32(&key, first, n, part);
            assert_memory_equal(part, words + first, n * sizeof *part);
        }
    for (size_t n = 0; n <= N; n++) {
        memset(some, 0, sizeof some);
        rng_uniform(&key, n, some);
        assert_memory_equal(some, uniform, n * sizeof *some);
        rng_normal(&key, n, some);
        assert_memory_equal(some, normal, n * sizeof *some);
        assert_true(n == N || some[n] == 0); /* nothing is written behind */
    }
    for (size_t i = 0; i < N; i++) assert_true(uniform[i] == words[i] * 0x1p-32);
    double one = rng_one_uniform(&key);
    assert_true(one >= 0 && one < 1 && fabs(one - uniform[0]) <= 0x1p-27); /* its high bits */
}

static void every_argument_matters(void **state)
{
    (void)state;
    struct rng keys[] = {key, key, key, key, key, key};
    keys[1].seed++;
    keys[2].seed += UINT64_C(1) << 32;
    keys[3].purpose++;
    keys[4].step++;
    keys[5].slot++;
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++) {
            uint32_t a[8], b[8];
            rng_uint32(&keys[i], 0, 8, a);
            rng_uint32(&keys[k], 0, 8, b);
            for (int word = 0; word < 8; word++) assert_int_not_equal(a[word], b[word]);
        }
}

/* Five standard errors of the mean of n values whose standard deviation is `deviation`. */
static void check_mean(double sum, double n, double mean, double deviation)
{
    assert_true(fabs(sum / n - mean) < 5 * deviation / sqrt(n));
}

static void moments(void **state)
{
    (void)state;
    enum { N = 200001 };
    double *z = malloc(N * sizeof *z), sums[5] = {0}, products = 0, largest = 0;
    rng_normal(&key, N, z);
    for (int i = 0; i < N; i++) {
        for (int power = 1; power <= 4; power++) sums[power] += pow(z[i], power);
        if (i) products += z[i] * z[i - 1];
        largest = fmax(largest, fabs(z[i]));
    }
    check_mean(sums[1], N, 0, 1);
    check_mean(sums[2], N, 1, sqrt(2));
    check_mean(sums[3], N, 0, sqrt(15));
    check_mean(sums[4], N, 3, sqrt(96));
    check_mean(products, N - 1, 0, 1);
    assert_true(largest > 3.9 && largest < 6.8);
    /* Kolmogorov's distance at some points */
    for (double x = -3; x <= 3; x += 0.25) {
        double below = 0, p = 0.5 * erfc(-x / sqrt(2));
        for (int i = 0; i < N; i++) below += z[i] < x;
        check_mean(below, N, p, sqrt(p * (1 - p)));
    }
    rng_uniform(&key, N, z);
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        assert_true(z[i] >= 0 && z[i] < 1);
        sum += z[i];
        squares += z[i] * z[i];
    }
    check_mean(sum, N, 0.5, sqrt(1 / 12.));
    check_mean(squares, N, 1 / 3., sqrt(4 / 45.));
    free(z);
}

static void check_permutation(uint64_t n, uint32_t step)
{
    struct rng rng = {.seed = 7, .purpose = RNG_SHUFFLE, .step = step};
    uint8_t *seen = calloc(n, 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t to = rng_permute(&rng, n, i);
        if (to >= n || seen[to]) fail_msg("n = %llu: element %llu", (unsigned long long)n, (unsigned long long)i);
        seen[to] = 1;
    }
    free(seen);
}

static void permutations(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= 200; n++)
        for (uint32_t step = 0; step < 3; step++) check_permutation(n, step);
    static const uint64_t sizes[] = {255, 256, 257, 4095, 4096, 4097, 50000, 65536, 65537};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) check_permutation(sizes[i], 0);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Too large to run through: in range and different. */
static void large_permutations(void **state)
{
    (void)state;
    enum { DRAWS = 2000 };
    static const uint64_t sizes[] = {UINT64_C(4294967295), UINT64_C(4294967297), UINT64_C(1000000000007)};
    for (int k = 0; k < 3; k++) {
        uint64_t to[DRAWS];
        double sum = 0;
        for (uint64_t i = 0; i < DRAWS; i++) {
            to[i] = rng_permute(&key, sizes[k], i < DRAWS / 2 ? i : sizes[k] - i);
            assert_true(to[i] < sizes[k]);
            sum += (double)to[i] / (double)sizes[k];
        }
        check_mean(sum, DRAWS, 0.5, sqrt(1 / 12.));
        qsort(to, DRAWS, sizeof *to, by_value);
        for (int i = 1; i < DRAWS; i++) assert_true(to[i] != to[i - 1]);
    }
}

/* Over many seeds every element goes everywhere equally often, and every order of four appears: chi-square. */
static void permutations_are_fair(void **state)
{
    (void)state;
    enum { SEEDS = 12000, N = 10 };
    double places[N][N] = {{0}}, orders[256] = {0}, chi_square = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rng rng = {.seed = seed, .purpose = RNG_SHUFFLE};
        for (uint64_t i = 0; i < N; i++) places[i][rng_permute(&rng, N, i)]++;
        unsigned order = 0;
        for (uint64_t i = 0; i < 4; i++) order = order << 2 | (unsigned)rng_permute(&rng, 4, i);
        orders[order]++;
    }
    double mean = SEEDS / (double)N;
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) chi_square += pow(places[i][k] - mean, 2) / mean;
    assert_true(chi_square < 81 + 5 * sqrt(2 * 81.));
    chi_square = 0;
    int found = 0;
    for (int order = 0; order < 256; order++) {
        found += orders[order] > 0;
        if (orders[order] > 0) chi_square += pow(orders[order] - SEEDS / 24., 2) / (SEEDS / 24.);
    }
    assert_int_equal(found, 24);
    assert_true(chi_square < 23 + 5 * sqrt(2 * 23.));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),          cmocka_unit_test(parts_equal_the_whole),
        cmocka_unit_test(every_argument_matters), cmocka_unit_test(moments),
        cmocka_unit_test(permutations),           cmocka_unit_test(large_permutations),
        cmocka_unit_test(permutations_are_fair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
