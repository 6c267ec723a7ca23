#!/bin/bash
# One warning when ranks have fewer processors than threads, none when they are bound well.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"
first=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//') # of the processors that this test may use
processors=$(nproc)
on_first() { taskset -c "$first" timeout 120 mpirun --bind-to none --oversubscribe "$@"; }

expect 0 on_first -n 1 "$iddpm" train tiny.yaml run.dir=alone threads=1
counts 0 "warning"
expect 0 on_first -n 2 "$iddpm" train tiny.yaml run.dir=crowded threads=1
counts 1 "warning: 2 ranks with 2 threads in all share 1 processor of $(hostname): give each rank as many as it has"
counts 1 "warning"
grep -q "warning: 2 ranks with 2 threads in all" crowded/log.txt && complain "the warning is of this job, not of the run"
expect 0 on_first -n 1 "$iddpm" train tiny.yaml run.dir=threads threads=2
counts 1 "warning: 1 rank with 2 threads in all shares 1 processor"
expect 0 on_first -n 2 "$iddpm" sample run --num 2 --steps 2 --out two.png
counts 1 "warning: 2 ranks with 2 threads"

# a rank for each processor, by mpirun's own binding
if [ "$processors" -gt 1 ]; then
    expect 0 timeout 120 mpirun -n 2 --bind-to core "$iddpm" train tiny.yaml run.dir=bound threads=1
    counts 0 "warning"
    expect 0 timeout 120 mpirun -n 2 --bind-to none "$iddpm" train tiny.yaml run.dir=room threads=1
    counts 0 "warning"
fi
finish
