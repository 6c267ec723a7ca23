/* SHA-256 (FIPS 180-4): the content hash by which a data set is known. */
#ifndef IDDPM_DATA_SHA256_H
#define IDDPM_DATA_SHA256_H

#include <stddef.h>
#include <stdint.h>

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;
    uint8_t block[64];
};

#define SHA256_HEX 65

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *data, size_t n);
/* The hash of all that was added, in hexadecimal digits; ends the hash. */
void sha256_hex(struct sha256 *hash, char out[SHA256_HEX]);

#endif
