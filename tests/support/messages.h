/* What this rank hands to MPI, counted (PMPI): linking a test that calls messages_counted puts the counters in. */
#ifndef TESTS_MESSAGES_H
#define TESTS_MESSAGES_H

#include <stdint.h>

/* Bytes are those that this rank gives away: of a collective, its own contribution, once, whoever it is for. A
 * broadcast gives only on its root. Nothing is counted for MPI_PROC_NULL. */
struct messages {
    uint64_t sent, sent_bytes;         /* point to point, by any of MPI's ways to send */
    uint64_t collective, shared_bytes; /* collective calls, barriers too */
};
/* Since the program's start. */
struct messages messages_counted(void);

#endif
