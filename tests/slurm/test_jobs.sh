#!/bin/bash
# The job scripts on a real Slurm of two nodes: a run on both from staged data, stopped by a signal; jobs that depend on
# it; arrays from a list, throttled, a task of which comes back; a cancelled job stays cancelled; a cascade stopped in each
# of its stages.
. "$(dirname "$0")/cluster.sh"

echo "two nodes with staged data, stopped by a signal, continued; measured and sampled by jobs that depend on it"
endless two
STAGE=$work/local train two two -N2 --ntasks-per-node=1
train=$job
submit nll --dependency=afterok:"$train" "$jobs/nll.sbatch" two --num 40
nll=$job
submit sample --dependency=afterok:"$train" --ntasks-per-node=1 "$jobs/sample.sbatch" two --num 4
sample=$job
wait_until 60 has_checkpoint two
scancel --signal=USR1 --batch "$train"
wait_until 60 pending_again "$train" 1
near_end two
state_is "$nll" PENDING && state_is "$sample" PENDING || fail "the jobs that depend on it did not wait"
completes "$train"
prints two "goes back into the queue" || fail "the job did not say that it was requeued"
prints two "on 2 ranks, steps" || fail "not on two ranks"
prints two "copied 9 of 9 files" || fail "each node copies its own half of the 16 shards, and the index"
completes "$nll"
tail -n 1 nll.out | grep -Eqx '[0-9.]+ \+- [0-9.]+ bits/dim' || fail "nll.sbatch gave no bits/dim"
completes "$sample"
[ -n "$(find two/samples -name '*.png')" ] || fail "sample.sbatch gave no picture"
same_as_undisturbed two

echo "an array from a list, at most one task at a time"
cat >list <<LIST
# the runs of this study
$work/tiny.yaml run.dir=a total_steps=30 run.seed=1

$work/tiny.yaml "run.dir=b c" run.seed=2
$work/tiny.yaml run.dir=d total_steps=30
LIST
sed -i 's/total_steps: 1000000/total_steps: 40/' tiny.yaml
submit array-%a --array=0-3%1 "$jobs/train.sbatch" --list list save_interval=20
array=$job
most=0
all_ended() {
    local running
    running=$(squeue -h -r -t RUNNING -j "$array" | wc -l)
    [ "$running" -le "$most" ] || most=$running
    [ -z "$(squeue -h -r -t PENDING,RUNNING,COMPLETING -j "$array")" ]
}
wait_until 120 all_ended
[ "$most" = 1 ] || fail "$most tasks ran at once"
for run in a/checkpoints/step-00000030.h5 "b c/checkpoints/step-00000040.h5" d/checkpoints/step-00000020.h5; do
    [ -e "$run" ] || fail "the array left no $run"
done
grep -q '^  seed: 1$' a/config.yaml && grep -q '^  seed: 2$' "b c/config.yaml" || fail "the lines' keys were not taken"
prints array-3 "list has no line for task 3 of the array" || fail "a task without a line does not say so"

echo "a task of an array comes back alone; cancelled, it stays so"
endless e
sed -i "s|^$work/tiny.yaml run.dir=a.*|$work/e.yaml|; \$s|.*|$work/e.yaml run.dir=f|" list
submit task-%a --array=0,2 --ntasks-per-node=1 "$jobs/train.sbatch" --list list total_steps=1000000
wait_until 60 has_checkpoint e
wait_until 60 has_checkpoint f
other=$(field "${job}_2" Restarts)
scancel --signal=USR1 --batch "${job}_0"
wait_until 60 pending_again "${job}_0" 1
[ "$(field "${job}_2" Restarts)" = "$other" ] && state_is "${job}_2" RUNNING || fail "another task was requeued, too"
wait_until 60 prints task-0 "continuing from"
scancel "$job"
wait_until 60 state_is "${job}_0" CANCELLED
sleep 2
state_is "${job}_0" CANCELLED && state_is "${job}_2" CANCELLED || fail "a cancelled job came back"

echo "a cascade, stopped in both stages, continued"
. "$here/tests/support/tiny_cascade.sh"
submit cascade -N2 --ntasks-per-node=1 "$jobs/cascade.sbatch" "$work/base" "$work/up" 40 "$work/made" --batch 1
stop_in() { # STAGE RESTARTS
    wait_until 60 compgen -G "made/$1*.part" >/dev/null
    scancel --signal=USR1 --batch "$job"
    wait_until 60 restarted "$job" "$2"
}
stop_in base 1
stop_in samples 2
completes "$job"
"$iddpm" sample base --num 40 --batch 1 --npz --out hand/base.png >alone 2>&1 &&
    "$iddpm" sample up --base hand/base.npz --batch 1 --npz --out hand/samples.png >alone 2>&1 || fail "by hand: $(cat alone)"
for stage in base samples; do cmp made/$stage.npz hand/$stage.npz || fail "the cascade made other images"; done
[ "$(grep -c "samples of $work/up, " cascade.out)" = 2 ] || fail "not stopped once in the second stage"
prints cascade "made/base.png is there already" || fail "the first stage was repeated"
finish_clean
