# train_faults.sh BUILD every KIND RANK STEP | BUILD sample SEED: a continued run of a tiny network on two ranks, in which
# the k-th write, pwrite, ftruncate, fallocate, fsync, rename or close on a file of the run fails on one rank, once or from
# then on (tests/faults/fail_io.c): k = STEP, 2 STEP, ... to the end of the run. It must recover or end, in two minutes on a
# machine however busy: then on all ranks, with one message that names rank, host and cause. The checkpoint from before is
# whole, no other file is left, and the run goes on without the fault.
. "$(dirname "$0")/shell.sh"
build=$(cd "$1" && pwd)
way=$2
cd "$work" || exit 1

cat >tiny.yaml <<'YAML'
data: {path: data}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: ""}
diffusion: {diffusion_steps: 20, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 16, total_steps: 1, lr: 1e-3, ema_rate: 0.9, log_interval: 1, save_interval: 1}
YAML

# run_on_two: continues $work/run to step 3; each rank leaves its exit status in status.R, or "none" when it is killed
cat >rank.sh <<'SH'
r=$OMPI_COMM_WORLD_RANK
echo none >status.$r
if [ "$r" = "${fault_rank-}" ]; then
    export FAIL_IO_FOLDER=$PWD/run FAIL_IO_COUNT=$PWD/count
    LD_PRELOAD=$fault_library "$@"
else
    "$@"
fi
s=$?
echo $s >status.$r
exit $s
SH
run_on_two() {
    timeout -k 5 120 mpirun --oversubscribe -n 2 bash rank.sh "$iddpm" train "$work/run" total_steps=3 "store.max_failures=${tries-2}" \
        >out 2>err </dev/null
}

check_files() { # WHAT: what may be in the folder of a run, and no more
    local odd
    odd=$(cd run && find . -type f | grep -vxE './(config.yaml|metrics.jsonl|progress.csv|log.txt|checkpoints/step-0000000[123].h5)')
    [ -z "$odd" ] || complain "$1: left in the folder: $odd"
}

# fault RANK KIND CALL
fault() {
    local what="$2, call $3 on rank $1" status
    rm -rf run count
    cp -r calm run
    fault_rank=$1 FAIL_IO_KIND=$2 FAIL_IO_CALL=$3 FAIL_IO_ERRNO=$([ "$2" = once ] && echo 5 || echo 28) run_on_two
    status=$?
    tried=$((tried + 1))
    case $status in
    0) [ "$(cat status.0 status.1 | tr '\n' ' ')" = "0 0 " ] || complain "$what: ranks ended with $(cat status.?)" ;;
    124 | 137) complain "$what: still running after two minutes: $(cat out err)" ;;
    *)
        ended=$((ended + 1))
        grep -qx 0 status.? && complain "$what: a rank ended with 0: $(cat err)"
        [ "$(grep '^iddpm: ' err | grep -vc '^iddpm: warning: ')" = 1 ] || complain "$what: not one message: $(cat err)"
        grep '^iddpm: ' err | grep -v 'warning: ' | grep -qE 'rank [01] on .*(Input/output error|No space left on device)' ||
            complain "$what: rank, host and cause are not named: $(cat err)"
        ;;
    esac
    check_files "$what"
    cmp -s calm/checkpoints/step-00000001.h5 run/checkpoints/step-00000001.h5 || complain "$what: the old checkpoint changed"
    # a sample goes on after some of its faults only: it takes as long again
    if [ "$status" != 0 ] && { [ "$way" = every ] || [ $((ended % 4)) = 1 ]; }; then
        run_on_two || complain "$what: does not go on: $(cat out err)"
        status=0
        check_files "$what, then without"
    fi
    "$iddpm" verify run >verified 2>&1 || complain "$what: damaged: $(cat verified)"
    [ "$status" != 0 ] || [ -e run/checkpoints/step-00000003.h5 ] || complain "$what: no last checkpoint"
}

export fault_library=$build/tests/libfail_io.so
expect 0 "$iddpm" import digits data
expect 0 "$iddpm" train tiny.yaml run.dir=calm
for r in 0 1; do
    rm -rf run && cp -r calm run
    fault_rank=$r FAIL_IO_CALL=0 run_on_two || complain "without a fault: $(cat out err)"
    calls[r]=$(cat count)
    [ "${calls[r]}" -gt 100 ] || complain "rank $r made only ${calls[r]} calls"
done
tried=0 ended=0
case $way in
sample) # the first and the last, and 30 others
    RANDOM=$3
    for r in 0 1; do
        fault $r once 1
        fault $r forever "${calls[r]}"
    done
    for _ in $(seq 15); do
        for kind in once forever; do
            r=$((RANDOM % 2)) tries=2
            [ $kind = once ] || tries=1 # without pauses
            fault $r $kind $((1 + (RANDOM << 15 | RANDOM) % calls[r]))
        done
    done
    ;;
every) # of the start, two checkpoints with their lines of metrics, and the end
    [ "$3" = once ] || tries=1 # without pauses
    for call in $(seq "$5" "$5" "${calls[$4]}"); do fault "$4" "$3" "$call"; done
    ;;
esac
echo "$tried faults: $ended ended the run, the others did not; ranks make ${calls[*]} calls"
[ "$3" = once ] || [ "$ended" -gt 0 ] || complain "no fault ended a run: was there one?"
[ "$3" = forever ] || [ "$ended" -lt "$tried" ] || complain "no run recovered"
finish
