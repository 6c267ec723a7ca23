/* CRC-32 of checkpoints and shards. */
#ifndef IDDPM_STORE_CRC32_H
#define IDDPM_STORE_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* zlib's crc32, several times as fast where the processor has VPCLMULQDQ: continues `crc`, 0 at first. */
uint32_t crc32_of(uint32_t crc, const void *data, size_t bytes);

#endif
