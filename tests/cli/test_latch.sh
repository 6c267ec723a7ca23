#!/bin/bash
# HDF5 calls the program's own MPI-IO functions (src/store/latch.c) only if the program exports them.
. "$(dirname "$0")/../support/shell.sh"

for program in "$iddpm" "$1/tests/mpi/mpi_checkpoint"; do
    expect 0 nm -D --defined-only "$program"
    for name in write_at write_at_all read_at read_at_all set_size sync close; do
        grep -q " T MPI_File_$name\$" "$work/out" || complain "$program does not export MPI_File_$name"
    done
done
finish
