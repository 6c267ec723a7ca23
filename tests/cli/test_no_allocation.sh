#!/bin/bash
# Training takes no memory after its first step: 12 steps, each with its lines of metrics, ask for it as often, from each
# place, as 4 steps. tests/faults/count_memory.c counts the calls of the program and of its libraries, those included
# that the C library makes for them. Left out are calls below MPI's libraries, libgomp's own for each parallel region, those
# of OpenBLAS, which maps its buffers at the start as often as their addresses please it and then keeps them, and where
# images are not kept in memory HDF5's own for each read.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"
counter=$(dirname "$iddpm")/tests/libcount_memory.so

counted() { # FOLDER STEPS [key=value ...]
    local folder=$1 steps=$2
    shift 2
    expect 0 timeout 60 env COUNT_MEMORY="$work/$folder.calls" LD_PRELOAD="$counter" \
        "$iddpm" train tiny.yaml run.dir="$folder" total_steps="$steps" save_interval=100 "$@"
    grep -vE "/lib($left_out)" "$folder.calls" | sort -k 2 >"$folder.sorted"
    [ "$(wc -l <"$folder.sorted")" -gt 20 ] || complain "hardly anything was counted: $(cat "$folder.calls")"
}

for options in "threads=1" "threads=2 dropout=0.2 schedule_sampler=loss-second-moment use_checkpoint=true" "microbatch=3 leaves=2 cache=0"; do
    left_out='gomp|openblas'
    [[ $options != *cache=0* ]] || left_out='gomp|openblas|hdf5'
    counted short 4 $options
    counted long 12 $options
    cmp -s short.sorted long.sorted || {
        complain "$options: 12 steps take memory more often than 4 (calls, module, place):"
        diff short.sorted long.sorted | while read -r _ _ module place; do
            [ -z "$place" ] || addr2line -f -e "$module" "$place" | paste -s
        done
        diff short.sorted long.sorted
    }
    rm -r short long
done
finish
