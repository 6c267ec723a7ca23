/* Private to src/train: kernels that are measured. */
#ifndef IDDPM_TRAIN_CHOICE_H
#define IDDPM_TRAIN_CHOICE_H

#include "step.h"

/* Collective, once the plan is made and agreed on. Where results may depend on the machine (parallel.reduction =
 * mpi_allreduce) and kernels are chosen (parallel.kernels = auto), the 3x3 convolutions of the network are measured on
 * all ranks at the same time, the fastest of each shape goes into trainer->kernels and is taken by all. A run keeps the
 * choice in RUN/kernels.txt, where a continuation finds it; measured again when the instruction set is another. */
enum iddpm_status choose_kernels(struct trainer *trainer);
/* Rank 0: keeps them in the run's folder, when there are any. */
enum iddpm_status choice_write(const struct trainer *trainer);

#endif
