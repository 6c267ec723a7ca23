# A rank that is stopped, or hangs, ends its job within seconds: where each rank stands is said, and which does not answer;
# checkpoints are sound and the run continues. A job that is paused as a whole goes on.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"
export OMPI_MCA_mpi_yield_when_idle=1

ranks_of() { pgrep -P "$pid" iddpm; }
ends_badly() { # SECONDS: the run in the background
    local status
    timeout "$1" tail --pid=$pid -f /dev/null || complain "still runs after $1 s: $ran"
    wait $pid
    status=$?
    [ "$status" != 0 ] && [ "$status" != 75 ] || complain "status $status: $(cat out err)"
    ! pgrep -f "$work" >/dev/null || complain "still there: $(pgrep -af "$work")"
}
begin() { # DIR [key=value ...]: an endless run on two ranks, in the background; sets pid
    ran="train $*"
    mpirun --oversubscribe -n 2 "$iddpm" train "$work/tiny.yaml" run.dir="$@" total_steps=1000000 save_interval=10 \
        parallel.watchdog=3 >out 2>err &
    pid=$!
}

# One rank stopped: no word comes from it.
begin stopped
wait_for grep -q "^saved" out
victim=$(ranks_of | tail -n 1)
number=$(tr '\0' '\n' <"/proc/$victim/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
other=$((1 - number))
kill -STOP "$victim"
ends_badly 20
says "iddpm: rank $other on $(hostname): no progress for 3 s: "
counts 1 "iddpm: rank $number on $(hostname) does not answer: stopped, or the node is lost"
grep -q "no progress: rank $other: .* of step " err || complain "not where rank $other stands: $(cat err)"
expect 0 "$iddpm" verify stopped
stops USR1 "continuing from stopped/checkpoints/" "$iddpm" train stopped
[ ! -e stopped/stalled ] || complain "what the stalled ranks left stays: $(ls stopped/stalled)"

# One rank hangs in a read of its shards: it is named with its place, and the other with where it waits.
export LD_PRELOAD=$1/tests/libfail_io.so FAIL_IO_FOLDER=$work/digits FAIL_IO_RANK=1 FAIL_IO_KIND=hang FAIL_IO_CALL=1
begin hangs
unset LD_PRELOAD
ends_badly 30
counts 1 "iddpm: rank 1 on $(hostname): no progress for 3 s: opening the shards"
counts 1 "iddpm: no progress: rank 1: opening the shards"
counts 1 "iddpm: no progress: rank 0: waiting for all ranks to be ready"
counts 0 "does not answer"
stops USR1 "parameters, batch" "$iddpm" train tiny.yaml run.dir=hangs total_steps=1000000

# Time in which all are stopped does not count: Slurm suspends jobs so. Longer than the patience, then it goes on.
begin paused
wait_for grep -q "^saved" out
victims=$(ranks_of)
# shellcheck disable=SC2086
kill -STOP $victims
before=$(wc -l <paused/metrics.jsonl)
sleep 6
# shellcheck disable=SC2086
kill -CONT $victims
wait_for eval '[ "$(wc -l <paused/metrics.jsonl)" -gt "$before" ]'
kill -USR1 $pid
wait $pid
[ $? = 75 ] || complain "a run that was paused did not go on: $(cat out err)"
counts 0 "no progress"
finish
