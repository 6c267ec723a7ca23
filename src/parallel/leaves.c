#include "iddpm/parallel.h"

#include <limits.h>

static bool is_power_of_two(int64_t n)
{
    return n > 0 && (n & (n - 1)) == 0;
}

int leaves_default(int64_t batch)
{
    int leaves = 16;
    while (leaves > 1 && (leaves > batch / 8 || batch % leaves != 0)) leaves /= 2;
    return leaves;
}

/* "1, 2 or 4": the powers of two that divide n, from 1 on */
static void list_powers(int64_t n, char *out, size_t size)
{
    int64_t last = n & -n; /* the lowest bit set is the largest power of two in n */
    size_t used = 0;
    out[0] = 0;
    for (int64_t p = 1; p <= last && used < size; p *= 2)
        used += (size_t)snprintf(out + used, size - used, "%s%lld",
                                 p == 1      ? ""
                                 : p == last ? " or "
                                             : ", ",
                                 (long long)p);
}

enum iddpm_status leaves_plan(struct leaves *out, int64_t batch, int64_t leaves, int rank, int size)
{
    char powers[512];
    if (batch < 1) return iddpm_error(IDDPM_USAGE, "batch_size is %lld; it must be at least 1", (long long)batch);
    list_powers(batch, powers, sizeof powers);
    if (leaves == 0) leaves = leaves_default(batch);
    if (!is_power_of_two(leaves) || batch % leaves != 0)
        return iddpm_error(IDDPM_USAGE,
                           "parallel.leaves is %lld, but must be a power of two that divides batch_size %lld: %s would "
                           "do",
                           (long long)leaves, (long long)batch, powers);
    if (leaves % size != 0) {
        char ranks[512];
        list_powers(leaves, ranks, sizeof ranks);
        return iddpm_error(IDDPM_USAGE,
                           "%d ranks cannot share the %lld leaves of a step evenly: run on %s ranks, or choose another "
                           "parallel.leaves (for batch_size %lld %s would do)",
                           size, (long long)leaves, ranks, (long long)batch, powers);
    }
    if (leaves > INT_MAX || batch / leaves > INT_MAX)
        return iddpm_error(IDDPM_USAGE, "batch_size %lld is too large for %lld leaves", (long long)batch,
                           (long long)leaves);
    int count = (int)(leaves / size);
    *out = (struct leaves){(int)leaves, rank * count, count, (int)(batch / leaves)};
    return IDDPM_OK;
}
