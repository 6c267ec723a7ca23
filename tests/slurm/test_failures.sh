#!/bin/bash
# What breaks under a job, on a real Slurm of two nodes: a rank is killed, a rank hangs, a node is lost, a node is only
# thought lost while its processes go on. The run ends where it would have, to the bit.
. "$(dirname "$0")/cluster.sh"

echo "a rank is killed: the job fails; submitted again the run goes on"
endless killed
train killed killed -N2 --ntasks-per-node=1
wait_until 60 has_checkpoint killed
kill -9 "$(ranks_of killed | head -n 1)"
wait_until 60 state_is "$job" FAILED
wait_until 20 no_process
near_end killed
train again killed
completes "$job"
prints again "continuing from killed/" || fail "not continued"
same_as_undisturbed killed

echo "a rank hangs: the watchdog ends the job; with RETRIES it comes back by itself"
endless hangs
RETRIES=1 train hangs hangs parallel.watchdog=4
wait_until 60 has_checkpoint hangs
hanging=$(ranks_of hangs | tail -n 1)
kill -STOP "$hanging"
wait_until 60 pending_again "$job" 1
kill -CONT "$hanging" 2>/dev/null
prints hangs "failed with status" || fail "it did not say why it comes back"
near_end hangs
completes "$job"
prints hangs "continuing from hangs/" || fail "not continued"
same_as_undisturbed hangs

echo "a node is lost, power and all: Slurm brings the job back, and it goes on with the node"
endless lost
train lost lost -N2 --ntasks-per-node=1
wait_until 60 has_checkpoint lost
bash "$cluster" node-down n2
wait_until 90 pending_again "$job" 1
near_end lost
bash "$cluster" node-up n2
completes "$job"
prints lost "continuing from lost/" || fail "not continued"
same_as_undisturbed lost

echo "a node is thought lost: the job runs again elsewhere, and what still runs there may not write"
endless thought
blocker=$(sbatch --parsable -w n1 --exclusive --output=blocker.out --wrap "until [ -e go ]; do sleep 0.2; done")
wait_until 60 state_is "$blocker" RUNNING
# not by shared memory: the virtual nodes are one host, and the job's second start would use the names of the first
OMPI_MCA_btl=self,tcp RETRIES=9 train thought thought
wait_until 60 has_checkpoint thought
[ "$(field "$job" NodeList)" = n2 ] || fail "not on n2"
touch go
old=$(ranks_of thought)
kill -STOP $old # or it would be far ahead when Slurm notices
bash "$cluster" slurmd-down n2
wait_until 90 restarted "$job" 1
wait_until 60 state_is "$job" RUNNING
wait_until 60 prints thought "taken over from job $job (restart 0)"
kill -CONT $old
gone() { ! kill -0 $1 2>/dev/null; }
# its job script, too, has ended, and did not take its failure for that of the job
for pid in $old $(pgrep -f "$work/slurm/spool-n2/job"); do wait_until 60 gone "$pid"; done
last=$(newest thought)
wait_until 60 has_later thought "$last"
[ "$(field "$job" Restarts)" = 1 ] && state_is "$job" RUNNING || fail "what still ran on n2 disturbed the job"
scancel --signal=USR1 --batch "$job"
wait_until 60 pending_again "$job" 2
near_end thought
completes "$job"
same_as_undisturbed thought
finish_clean
