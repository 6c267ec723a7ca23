/* The files of this folder are compiled once per instruction set (KERNEL_ISA = portable, avx2, avx512), those of
 * element_sources in CMakeLists.txt once more for bfloat16 activations (KERNEL_BF16; KERNEL_ISA = portable_bf16, ...,
 * avx512bf16_bf16). This header must be their first include: it gives each kernel of the lists a name of its own
 * (conv3x3_forward becomes conv3x3_forward_avx512), so that the code reads as kernels.h declares it.
 * src/kernels/dispatch.c, which includes this header without KERNEL_ISA, calls the chosen one. Everything else in these
 * files is static. A new kernel is a line in a list, a line below it, and its forward in dispatch.c. */
#ifndef IDDPM_KERNELS_ISA_H
#define IDDPM_KERNELS_ISA_H

/* for float32 activations alone */
#define FLOAT_LIST(X)                                                                                                  \
    X(silu_forward)                                                                                                    \
    X(silu_backward)                                                                                                   \
    X(adamw_ema)                                                                                                       \
    X(squares_of_blocks)                                                                                               \
    X(uniform_fill)
/* for either element */
#define ELEMENT_LIST(X)                                                                                                \
    X(conv3x3_algorithm)                                                                                               \
    X(conv3x3_packed_size)                                                                                             \
    X(conv3x3_pack)                                                                                                    \
    X(conv3x3_scratch_size)                                                                                            \
    X(conv3x3_forward)                                                                                                 \
    X(conv3x3_backward_input)                                                                                          \
    X(conv3x3_backward_weight)                                                                                         \
    X(linear_scratch_size)                                                                                             \
    X(linear_forward)                                                                                                  \
    X(linear_backward_input)                                                                                           \
    X(linear_backward_weight)                                                                                          \
    X(attention_scratch_size)                                                                                          \
    X(attention_forward)                                                                                               \
    X(attention_backward)                                                                                              \
    X(group_norm_scratch_size)                                                                                         \
    X(group_norm_forward)                                                                                              \
    X(group_norm_again)                                                                                                \
    X(group_norm_backward)                                                                                             \
    X(copy_rows)                                                                                                       \
    X(rows_from_float)                                                                                                 \
    X(rows_to_float)                                                                                                   \
    X(upsample_forward)                                                                                                \
    X(upsample_backward)                                                                                               \
    X(avg_pool_forward)                                                                                                \
    X(avg_pool_backward)

#ifdef KERNEL_ISA
#define ISA_JOIN2(name, isa) name##_##isa
#define ISA_JOIN(name, isa) ISA_JOIN2(name, isa)

#define conv3x3_algorithm ISA_JOIN(conv3x3_algorithm, KERNEL_ISA)
#define conv3x3_packed_size ISA_JOIN(conv3x3_packed_size, KERNEL_ISA)
#define conv3x3_pack ISA_JOIN(conv3x3_pack, KERNEL_ISA)
#define conv3x3_scratch_size ISA_JOIN(conv3x3_scratch_size, KERNEL_ISA)
#define conv3x3_forward ISA_JOIN(conv3x3_forward, KERNEL_ISA)
#define conv3x3_backward_input ISA_JOIN(conv3x3_backward_input, KERNEL_ISA)
#define conv3x3_backward_weight ISA_JOIN(conv3x3_backward_weight, KERNEL_ISA)
#define linear_scratch_size ISA_JOIN(linear_scratch_size, KERNEL_ISA)
#define linear_forward ISA_JOIN(linear_forward, KERNEL_ISA)
#define linear_backward_input ISA_JOIN(linear_backward_input, KERNEL_ISA)
#define linear_backward_weight ISA_JOIN(linear_backward_weight, KERNEL_ISA)
#define group_norm_scratch_size ISA_JOIN(group_norm_scratch_size, KERNEL_ISA)
#define group_norm_forward ISA_JOIN(group_norm_forward, KERNEL_ISA)
#define group_norm_again ISA_JOIN(group_norm_again, KERNEL_ISA)
#define group_norm_backward ISA_JOIN(group_norm_backward, KERNEL_ISA)
#define attention_scratch_size ISA_JOIN(attention_scratch_size, KERNEL_ISA)
#define attention_forward ISA_JOIN(attention_forward, KERNEL_ISA)
#define attention_backward ISA_JOIN(attention_backward, KERNEL_ISA)
#define silu_forward ISA_JOIN(silu_forward, KERNEL_ISA)
#define silu_backward ISA_JOIN(silu_backward, KERNEL_ISA)
#define adamw_ema ISA_JOIN(adamw_ema, KERNEL_ISA)
#define squares_of_blocks ISA_JOIN(squares_of_blocks, KERNEL_ISA)
#define uniform_fill ISA_JOIN(uniform_fill, KERNEL_ISA)
#define copy_rows ISA_JOIN(copy_rows, KERNEL_ISA)
#define rows_from_float ISA_JOIN(rows_from_float, KERNEL_ISA)
#define rows_to_float ISA_JOIN(rows_to_float, KERNEL_ISA)
#define upsample_forward ISA_JOIN(upsample_forward, KERNEL_ISA)
#define upsample_backward ISA_JOIN(upsample_backward, KERNEL_ISA)
#define avg_pool_forward ISA_JOIN(avg_pool_forward, KERNEL_ISA)
#define avg_pool_backward ISA_JOIN(avg_pool_backward, KERNEL_ISA)

/* shared between files of this folder only */
#define attention_scores ISA_JOIN(attention_scores, KERNEL_ISA)
#define attention_exponentials ISA_JOIN(attention_exponentials, KERNEL_ISA)
#define attention_softmax_backward ISA_JOIN(attention_softmax_backward, KERNEL_ISA)
#define attention_backward_scratch ISA_JOIN(attention_backward_scratch, KERNEL_ISA)
#define attention_rows ISA_JOIN(attention_rows, KERNEL_ISA)
#define attention_columns ISA_JOIN(attention_columns, KERNEL_ISA)
#define gemm_pack_transposed ISA_JOIN(gemm_pack_transposed, KERNEL_ISA)
#define gemm_pack ISA_JOIN(gemm_pack, KERNEL_ISA)
#define gemm_pack_rows ISA_JOIN(gemm_pack_rows, KERNEL_ISA)
#define gemm_run ISA_JOIN(gemm_run, KERNEL_ISA)
#define linear_few_forward ISA_JOIN(linear_few_forward, KERNEL_ISA)
#define conv3x3_direct_scratch ISA_JOIN(conv3x3_direct_scratch, KERNEL_ISA)
#define conv3x3_direct ISA_JOIN(conv3x3_direct, KERNEL_ISA)
#define conv3x3_direct_weight_scratch ISA_JOIN(conv3x3_direct_weight_scratch, KERNEL_ISA)
#define conv3x3_winograd_scratch ISA_JOIN(conv3x3_winograd_scratch, KERNEL_ISA)
#define conv3x3_winograd ISA_JOIN(conv3x3_winograd, KERNEL_ISA)
#define conv3x3_winograd_weight_scratch ISA_JOIN(conv3x3_winograd_weight_scratch, KERNEL_ISA)
#define conv3x3_winograd_weight ISA_JOIN(conv3x3_winograd_weight, KERNEL_ISA)
#define conv3x3_direct_weight ISA_JOIN(conv3x3_direct_weight, KERNEL_ISA)
#endif

#include "iddpm/kernels.h"

#endif
