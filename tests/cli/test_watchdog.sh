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
    wait_for eval '! pgrep -f "$work"' # the launcher may end before the last of them
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
left=$(echo stopped/stalled-*)
[ -e "$left/told" ] || complain "not met in the run's folder: $(ls stopped)"
touch -d '1 hour ago' "$left"
stops USR1 "continuing from stopped/checkpoints/" "$iddpm" train stopped
[ ! -e "$left" ] || complain "what the stalled ranks left stays: $(ls "$left")"

# One rank hangs in a read of its shards: it is named with its place, and the other with where it waits.
export LD_PRELOAD=$1/tests/libfail_io.so FAIL_IO_FOLDER=$work/digits FAIL_IO_RANK=1 FAIL_IO_KIND=hang FAIL_IO_CALL=1
begin hangs
unset LD_PRELOAD
ends_badly 30
counts 1 "iddpm: rank 1 on $(hostname): no progress for 3 s: filling data.cache"
counts 1 "iddpm: no progress: rank 1: filling data.cache"
# on a slow machine it may come to wait so late that it does not answer yet
grep -Eq "no progress: rank 0: waiting for all ranks to be ready|rank 0 on .* does not answer" err ||
    complain "nothing of rank 0: $(cat err)"
stops USR1 "parameters, batch" "$iddpm" train tiny.yaml run.dir=hangs total_steps=1000000

# A rank that hangs while it reads the model for a measurement is watched as well. (Its patience is half an hour.)
watched() { grep -qx watchdog "/proc/$1/task/"*/comm; }
export LD_PRELOAD=$1/tests/libfail_io.so FAIL_IO_FOLDER=$work/run/checkpoints FAIL_IO_KIND=hang FAIL_IO_CALL=1
mpirun --oversubscribe -n 2 "$iddpm" nll run --num 4 >out 2>err &
pid=$!
unset LD_PRELOAD
wait_for eval '[ "$(ranks_of | wc -l)" = 2 ]'
for victim in $(ranks_of); do wait_for watched "$victim"; done
kill $pid
wait $pid
[ ! -e run/nll ] || complain "a result though the model could not be read: $(ls run/nll)"

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
