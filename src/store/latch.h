/* The latch: MPI-IO calls that always succeed towards HDF5 and remember the first error of this rank instead.
 *
 * Once one rank's write has failed inside HDF5, its collective calls no longer match those of the others, and the job
 * hangs. So the program defines the MPI_File_* calls that HDF5 makes, over the PMPI_* ones: HDF5 never sees an I/O
 * error, all ranks come out of it together, and then agree on what the latch remembers. */
#ifndef IDDPM_STORE_LATCH_H
#define IDDPM_STORE_LATCH_H

#include "iddpm/parallel.h"

/* Forgets; before a piece of work. */
void latch_clear(void);
/* Around a collective H5Fopen (NULL: no more): a failed read then ends the job, since HDF5 would give up the open on
 * this rank alone, in a collective call that the others never make. */
void latch_opening(const struct parallel *parallel);
/* What happened since: IDDPM_OK, or IDDPM_FAILED with "<path>: cannot <operation>: <cause>". */
enum iddpm_status latch_check(const char *path);

#endif
