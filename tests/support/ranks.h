/* For test programs on several ranks. An assertion that fails on one rank leaves the others in a collective call, so
 * every program ends itself after `seconds`. */
#ifndef TESTS_RANKS_H
#define TESTS_RANKS_H

#include "iddpm/parallel.h"

extern struct parallel ranks;

/* Starts MPI and the alarm; returns 0, or 1 after printing the error. */
int ranks_start(int *argc, char ***argv, unsigned seconds);
/* Ends MPI; the exit status of the program from the number of failed tests of this rank. */
int ranks_end(int failed);

/* A new folder, the same on all ranks, into out[PATH_SIZE]; and its removal with all files in it. Collective. */
void ranks_make_folder(char *out);
void ranks_remove_folder(const char *folder);
/* Files in a folder that has no folders in it. */
int ranks_count_files(const char *folder);

#endif
