/* The latch: MPI-IO calls that always succeed towards HDF5 and remember the first error of this rank instead.
 *
 * Once one rank's write has failed inside HDF5, its collective calls no longer match those of the others, and the job
 * hangs. So the program defines the MPI_File_* calls that HDF5 makes, over the PMPI_* ones: HDF5 never sees an I/O
 * error, all ranks come out of it together, and then agree on what the latch remembers. */
#ifndef IDDPM_STORE_LATCH_H
#define IDDPM_STORE_LATCH_H

#include "iddpm/parallel.h"

/* Forgets; before a piece of work. While `opening` is not NULL a failed read ends the job (parallel_abort): HDF5 gives
 * up an open on one rank alone, which the other ranks would wait for. */
void latch_clear(const struct parallel *opening);
/* What happened since: IDDPM_OK, or IDDPM_FAILED with "<path>: cannot <operation>: <cause>". */
enum iddpm_status latch_check(const char *path);

#endif
