#!/bin/bash
# The job scripts on a real Slurm of two nodes: trains on one and on two nodes, stops on a signal and on the warning before
# the time limit, goes back into the queue and finishes; a dependent job measures; a dead rank ends its job; a cancelled
# job stays cancelled.
. "$(dirname "$0")/../support/shell.sh"
if [ "$(id -u)" != 0 ]; then
    echo "skipped: starting Slurm needs root"
    exit 77
fi

cluster=$here/tests/slurm/local-cluster.sh
jobs=$here/jobs
export SLURM_LOCAL_DIR=$work/slurm SLURM_LOCAL_PORT=$((20000 + $$ % 10000)) SLURM_CONF=$work/slurm/slurm.conf IDDPM=$iddpm
trap 'bash "$cluster" stop; rm -rf "$work"' EXIT
chmod 755 "$work" # munged runs as another user
bash "$cluster" start 2 || exit 1
cd "$work" || exit 1

fail() {
    echo "FAILED: $*" >&2
    squeue >&2
    tail -n 30 "$work"/*.out >&2
    exit 1
}

state() { # JOB
    scontrol show job -o "$1" | grep -o ' JobState=[A-Z_]*' | cut -d= -f2
}

wait_until() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited in vain for: $*"
        sleep 0.5
    done
}

state_is() { [ "$(state "$1")" = "$2" ]; }
restarted() { [ "$(scontrol show job -o "$1" | grep -o ' Restarts=[0-9]*')" = " Restarts=$2" ]; }
has_checkpoint() { [ -n "$(find "$1/checkpoints" -name 'step-*.h5' 2>/dev/null)" ]; }
metrics() { sed -E 's/"(seconds[a-z_]*|images_per_s|peak_bytes)": [^,}]*[,}]//g' "$1/metrics.jsonl"; }
submit() { # NAME ARGUMENT...: sets `job`
    job=$(sbatch --parsable --output="$work/$1.out" "${@:2}") || fail "sbatch $*"
}

cat >tiny.yaml <<YAML
run: {dir: one}
data: {path: data, eval_path: test}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8}
diffusion: {diffusion_steps: 20, learn_sigma: true, noise_schedule: cosine}
train: {batch_size: 16, lr: 1e-3, total_steps: 300, ema_rate: 0.99, log_interval: 10, save_interval: 10}
YAML
"$iddpm" import digits data >/dev/null && "$iddpm" import digits test --split test >/dev/null || fail "import"

echo "one node"
submit one --wait "$jobs/train.sbatch" tiny.yaml || fail "training on one node"
[ -e one/checkpoints/step-00000300.h5 ] || fail "no last checkpoint"

echo "two nodes, stopped by a signal, continued, then measured by a dependent job"
submit two -N2 --ntasks-per-node=1 "$jobs/train.sbatch" tiny.yaml run.dir=two
train=$job
submit nll --dependency=afterok:"$train" "$jobs/nll.sbatch" two --num 40
nll=$job
wait_until 60 has_checkpoint two
scancel --signal=USR1 --batch "$train"
wait_until 60 restarted "$train" 1
wait_until 120 state_is "$train" COMPLETED
grep -q 'goes back into the queue' two.out || fail "the job did not say that it was requeued"
cmp <(metrics one) <(metrics two) || fail "two nodes and a stop gave other metrics"
wait_until 60 state_is "$nll" COMPLETED
tail -n 1 nll.out | grep -Eqx '[0-9.]+ \+- [0-9.]+ bits/dim' || fail "nll.sbatch gave no bits/dim"

echo "a dead rank ends the job"
submit dead "$jobs/train.sbatch" tiny.yaml run.dir="$work/dead" total_steps=1000000
wait_until 60 has_checkpoint dead
kill -9 "$(pgrep -n -f "iddpm train tiny.yaml run.dir=$work/dead")" # the newest such process is a rank, not srun
wait_until 60 state_is "$job" FAILED

echo "stopped by the time limit's warning, continued; cancelled, it stays so"
submit limit -t 1 --signal=B:USR1@40 "$jobs/train.sbatch" tiny.yaml run.dir=limit total_steps=1000000
wait_until 120 restarted "$job" 1
grep -q 'goes back into the queue' limit.out || fail "not stopped by the warning"
wait_until 60 grep -q '^continuing from' limit.out
scancel "$job"
wait_until 60 state_is "$job" CANCELLED
sleep 2
state_is "$job" CANCELLED || fail "a cancelled job came back"
echo "passed"
