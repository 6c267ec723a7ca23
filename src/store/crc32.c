#include "crc32.h"

#include <zlib.h>

#ifdef IDDPM_X86
#include <immintrin.h>

#define WIDE __attribute__((target("avx512f,vpclmulqdq")))
enum { TURN = 256 }; /* bytes */

/* x moved behind `by` more bits, modulo the polynomial: `by` holds two powers of x, bit-reflected. */
WIDE static inline __m512i moved(__m512i x, __m512i by)
{
    return _mm512_clmulepi64_epi128(x, by, 0x00) ^ _mm512_clmulepi64_epi128(x, by, 0x11);
}

/* Folding by products without carries (Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ,
 * Intel 2009), 256 bytes a turn in four registers. The 64 bytes that are left in the end have the CRC of all. `bytes`:
 * a multiple of TURN, not 0. */
WIDE static uint32_t fold(uint32_t crc, const unsigned char *data, size_t bytes)
{
    const __m512i by_2048 = _mm512_set4_epi64(0x1322d1430, 0x11542778a, 0x1322d1430, 0x11542778a);
    const __m512i by_512 = _mm512_set4_epi64(0x1c6e41596, 0x154442bd4, 0x1c6e41596, 0x154442bd4);
    __m512i x[4];
    for (int i = 0; i < 4; i++) x[i] = _mm512_loadu_si512(data + 64 * i);
    x[0] ^= _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)~crc));
    for (size_t at = TURN; at < bytes; at += TURN)
        for (int i = 0; i < 4; i++) x[i] = moved(x[i], by_2048) ^ _mm512_loadu_si512(data + at + 64 * i);
    for (int i = 1; i < 4; i++) x[i] ^= moved(x[i - 1], by_512);
    return (uint32_t)crc32_z(0xffffffff, (const unsigned char *)&x[3], sizeof x[3]);
}
#endif

uint32_t crc32_of(uint32_t crc, const void *data, size_t bytes)
{
    const unsigned char *from = data;
#ifdef IDDPM_X86
    size_t folded = bytes / TURN * TURN;
    if (folded && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq")) {
        crc = fold(crc, from, folded);
        from += folded;
        bytes -= folded;
    }
#endif
    return (uint32_t)crc32_z(crc, from, bytes);
}
