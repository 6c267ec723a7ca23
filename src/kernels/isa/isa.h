/* The files of this folder are compiled once per instruction set (KERNEL_ISA = portable, avx2, avx512). This header
 * must be their first include: it gives each kernel of KERNEL_LIST a name of its own per instruction set
 * (conv3x3_forward becomes conv3x3_forward_avx512), so that the code reads as kernels.h declares it.
 * src/kernels/dispatch.c, which includes this header without KERNEL_ISA, calls the chosen one. Everything else in these
 * files is static. A new kernel is a line in the list, a line below it, and its forward in dispatch.c. */
#ifndef IDDPM_KERNELS_ISA_H
#define IDDPM_KERNELS_ISA_H

#define KERNEL_LIST(X)                                                                                                 \
    X(conv3x3_algorithm)                                                                                               \
    X(conv3x3_packed_size)                                                                                             \
    X(conv3x3_pack)                                                                                                    \
    X(conv3x3_scratch_size)                                                                                            \
    X(conv3x3_forward)                                                                                                 \
    X(conv3x3_backward_input)                                                                                          \
    X(conv3x3_backward_weight)                                                                                         \
    X(group_norm_scratch_size)                                                                                         \
    X(group_norm_forward)                                                                                              \
    X(group_norm_backward)                                                                                             \
    X(silu_forward)                                                                                                    \
    X(silu_backward)                                                                                                   \
    X(softmax_rows)                                                                                                    \
    X(softmax_rows_backward)                                                                                           \
    X(dropout_apply)                                                                                                   \
    X(adamw_ema)                                                                                                       \
    X(squares_of_blocks)

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
#define group_norm_scratch_size ISA_JOIN(group_norm_scratch_size, KERNEL_ISA)
#define group_norm_forward ISA_JOIN(group_norm_forward, KERNEL_ISA)
#define group_norm_backward ISA_JOIN(group_norm_backward, KERNEL_ISA)
#define silu_forward ISA_JOIN(silu_forward, KERNEL_ISA)
#define silu_backward ISA_JOIN(silu_backward, KERNEL_ISA)
#define softmax_rows ISA_JOIN(softmax_rows, KERNEL_ISA)
#define softmax_rows_backward ISA_JOIN(softmax_rows_backward, KERNEL_ISA)
#define dropout_apply ISA_JOIN(dropout_apply, KERNEL_ISA)
#define adamw_ema ISA_JOIN(adamw_ema, KERNEL_ISA)
#define squares_of_blocks ISA_JOIN(squares_of_blocks, KERNEL_ISA)

/* shared between files of this folder only */
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
#include "softmax.h"

#endif
