# Sourced by the tests of this folder with the build folder as $1: a Slurm of two nodes of their own, a small
# configuration, and what they ask of jobs and of runs. The first thing that is wrong ends the test.
. "$(dirname "${BASH_SOURCE[0]}")/../support/shell.sh"
if [ "$(id -u)" != 0 ]; then
    echo "skipped: starting Slurm needs root"
    exit 77
fi

cluster=$here/tests/slurm/local-cluster.sh
jobs=$here/jobs
export SLURM_LOCAL_DIR=$work/slurm SLURM_LOCAL_PORT=$((20000 + $$ % 10000)) SLURM_CONF=$work/slurm/slurm.conf IDDPM=$iddpm
export OMPI_MCA_mpi_yield_when_idle=1 # more ranks than processors
trap 'bash "$cluster" stop; rm -rf "$work"' EXIT
chmod 755 "$work" # munged runs as another user
bash "$cluster" start 2 || exit 1
cd "$work" || exit 1

fail() {
    echo "FAILED: $*" >&2
    squeue >&2
    tail -n 20 "$work"/*.out >&2
    exit 1
}

wait_until() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited in vain for: $*"
        sleep 0.3
    done
}

# ---- jobs ------------------------------------------------------------------------------------------------------------

field() { # JOB NAME
    scontrol show job -o "$1" | head -n 1 | grep -o " $2=[^ ]*" | head -n 1 | cut -d= -f2
}
state_is() { [ "$(field "$1" JobState)" = "$2" ]; }
restarted() { [ "$(field "$1" Restarts)" -ge "$2" ]; }
pending_again() { restarted "$1" "$2" && state_is "$1" PENDING; }
submit() { # NAME ARGUMENT...: sets `job`; what it prints goes to NAME.out
    job=$(sbatch --parsable --output="$work/$1.out" "${@:2}") || fail "sbatch $*"
}
completes() { # JOB
    wait_until 180 ended "$1"
    state_is "$1" COMPLETED || fail "job $1 ended as $(field "$1" JobState)"
}
ended() { ! state_is "$1" PENDING && ! state_is "$1" RUNNING && ! state_is "$1" COMPLETING; }
prints() { grep -qF -- "$2" "$work/$1.out"; } # NAME TEXT
# ---- processes -------------------------------------------------------------------------------------------------------

train() { # NAME RUN [-tMINUTES | --OPTION=VALUE | key=value ...]: submits the training of RUN.yaml
    local name=$1 run=$2 options=() keys=() word
    shift 2
    for word; do
        if [[ $word == -* ]]; then options+=("$word"); else keys+=("$word"); fi
    done
    submit "$name" ${options[@]+"${options[@]}"} "$jobs/train.sbatch" "$work/$run.yaml" ${keys[@]+"${keys[@]}"}
}
ranks_of() { # RUN: the ranks alone, one a line, without what started them
    local pid
    for pid in $(pgrep -f "iddpm train $work/$1.yaml"); do
        [ "$(readlink "/proc/$pid/exe")" != "$iddpm" ] || echo "$pid"
    done
}

# ---- runs ------------------------------------------------------------------------------------------------------------

newest() { # RUN: its newest checkpoint
    find "$1/checkpoints" -name 'step-*.h5' 2>/dev/null | sort | tail -n 1
}
has_checkpoint() { [ -n "$(newest "$1")" ]; }
has_later() { [ "$(newest "$1")" != "$2" ]; } # RUN CHECKPOINT

# A run has no end until it was disturbed: RUN.yaml says how long it is, and is read again when its job starts again.
endless() { # RUN: makes RUN.yaml
    sed "s/run.dir/$1/" tiny.yaml >"$1.yaml"
}
near_end() { # RUN: while nobody trains it
    local step
    step=$(newest "$1")
    step=${step:-/step-0.h5} step=${step##*/step-}
    total=$((10#${step%.h5} + 20))
    sed -i "s/total_steps: [0-9]*/total_steps: $total/" "$1.yaml"
}

# The run is at its end, sound, and to the last bit what one rank makes of it undisturbed.
same_as_undisturbed() { # RUN
    local file group
    rm -rf undisturbed
    "$iddpm" train "$1.yaml" run.dir=undisturbed save_interval=1000000 >alone 2>&1 || fail "undisturbed: $(cat alone)"
    "$iddpm" verify "$1" >verified 2>&1 || fail "$1 is damaged: $(cat verified)"
    diff <(metrics undisturbed) <(metrics "$1") >difference || fail "$1 has other metrics: $(head -n 4 difference)"
    file=$(newest undisturbed)
    [ "$(newest "$1")" = "$1${file#undisturbed}" ] || fail "$1 ends with $(newest "$1")"
    for group in params optimizer ema; do
        h5diff "$file" "$1${file#undisturbed}" $group >difference || fail "$1: $group differs: $(head -n 4 difference)"
    done
    [ -z "$(find "$1" -name '*.tmp*')" ] || fail "$1 has files half written: $(find "$1" -name '*.tmp*')"
}

# ---- what stays ------------------------------------------------------------------------------------------------------

no_process() { ! pgrep -f "iddpm [a-z]* $work/" >/dev/null; }
no_memory() { # shared memory younger than this test that nobody has mapped
    local segment
    for segment in $(find /dev/shm -name 'vader_segment.*' -newer "$SLURM_CONF"); do
        grep -qsF "$segment" /proc/[0-9]*/maps || return 1
    done
}
finish_clean() {
    wait_until 20 no_process
    wait_until 20 no_memory
    echo "passed"
}

cat >tiny.yaml <<YAML
run: {dir: run.dir}
data: {path: data, eval_path: test}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8}
diffusion: {diffusion_steps: 20, learn_sigma: true, noise_schedule: cosine}
train: {batch_size: 16, lr: 1e-3, total_steps: 1000000, ema_rate: 0.99, log_interval: 10, save_interval: 10}
parallel: {reduction: reproducible, leaves: 4}
YAML
"$iddpm" import digits data >/dev/null && "$iddpm" import digits test --split test >/dev/null || fail "import"
