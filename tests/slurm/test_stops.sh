#!/bin/bash
# What ends a job that has done nothing wrong, on a real Slurm of two nodes: the time limit, with a warning and without, a
# job of the urgent partition, fewer nodes than before, more ranks than it can use. The run goes on to the same end, to the
# bit.
. "$(dirname "$0")/cluster.sh"

echo "the warning before the time limit"
endless limit
train limit limit -t1 --signal=B:USR1@40
wait_until 90 pending_again "$job" 1
near_end limit
completes "$job"
prints limit "goes back into the queue" || fail "not stopped by the warning"
[ "$(grep -c '^continuing from' limit.out)" = 1 ] || fail "not continued once"
same_as_undisturbed limit

echo "no warning comes: training sees the time limit itself"
endless seen
train seen seen -t1 --signal=B:CONT@1
wait_until 90 pending_again "$job" 1
near_end seen
completes "$job"
prints seen "the job ends at" || fail "it did not say why it stopped"
prints seen "goes back into the queue" || fail "not requeued"
same_as_undisturbed seen

echo "preempted, and continued when the nodes are free again"
endless preempted
train preempted preempted -N2 --ntasks-per-node=1
wait_until 60 has_checkpoint preempted
urgent() { # a job that stays until there is a file `go`
    rm -f go
    urgent=$(sbatch --parsable -p urgent -w n2 --exclusive --output=urgent.out --wrap "until [ -e go ]; do sleep 0.2; done")
    wait_until 60 state_is "$urgent" RUNNING
    wait_until 20 pending_again "$1" 1
}
urgent "$job"
prints preempted "stopped by a signal" || fail "no checkpoint was written before it had to go"
last=$(newest preempted)
near_end preempted
touch go
completes "$job"
prints preempted "continuing from $last" || fail "not continued from $last"
same_as_undisturbed preempted

echo "preempted on one of two nodes, it is submitted again for the other, on half the ranks"
endless fewer
# two ranks a node; not by shared memory, as the virtual nodes are one host and would give it the same names
OMPI_MCA_btl=self,tcp train fewer fewer -N1-2
wait_until 60 has_checkpoint fewer
urgent "$job"
scancel "$job"
near_end fewer
train one fewer -N1
completes "$job"
state_is "$urgent" RUNNING || fail "the urgent job did not stay"
touch go
prints fewer "on 4 ranks, steps" || fail "not on two nodes first"
prints one "continuing from fewer/" || fail "not continued"
prints one "on 2 ranks, steps" || fail "not on one node then"
same_as_undisturbed fewer

echo "three ranks are given: two train"
endless three
near_end three
train three three -N2 --ntasks=3
completes "$job"
prints three "2 of the job's 3 ranks are used" && prints three "on 2 ranks, steps" || fail "not on two ranks"
same_as_undisturbed three
finish_clean
