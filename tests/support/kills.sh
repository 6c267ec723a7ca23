# kills.sh BUILD KILLS SEED: training is killed (SIGKILL to a random rank or to mpirun) KILLS times at random moments,
# every other time while a checkpoint is written, and started again each time. Every start must continue from the newest checkpoint,
# every finished run must have the metrics of an undisturbed one, times apart, and the same files; no process may stay.
. "$(dirname "$0")/shell.sh"
kills=$2
RANDOM=$3
cd "$work" || exit 1

die() { # TEXT
    complain "kill $killed: $1"
    cat "$work/log"
    finish
}

# Many checkpoints and log lines: a good part of the time goes into files.
cat >tiny.yaml <<'YAML'
data: {path: data}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8}
diffusion: {diffusion_steps: 20, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 16, lr: 1e-3, total_steps: 200, ema_rate: 0.99, log_interval: 1, save_interval: 10,
  schedule_sampler: loss-second-moment}
YAML

newest() { # RUN: step of the newest checkpoint, 0 without one
    local file
    file=$(find "$1/checkpoints" -name 'step-*.h5' 2>/dev/null | sort | tail -n 1)
    file=${file##*/step-}
    echo $((10#0${file%.h5}))
}

start() { # RUN: sets `mpirun`, and `from`, the step that it must start at
    from=$(newest "$1")
    mpirun --oversubscribe -n 2 "$iddpm" train "$work/tiny.yaml" "run.dir=$work/$1" >log 2>&1 </dev/null &
    mpirun=$!
}

check_start() { # if it came as far as naming its steps
    ! grep -q ' parameters, batch ' log || grep -q ", steps $from to " log || die "did not start at step $from"
}

check_finished() { # RUN
    check_start
    diff <(metrics calm) <(metrics "$1") >difference || die "other metrics: $(head -n 5 difference)"
    diff <(cd calm && find . | sort) <(cd "$1" && find . | sort) >difference || die "other files: $(cat difference)"
    "$iddpm" verify "$1" >verified 2>&1 || die "a checkpoint is damaged: $(cat verified)"
}

nothing_runs() { # all that was started names $work on its command line
    for _ in $(seq 300); do
        pgrep -f "$work/tiny" >/dev/null || return 0
        sleep 0.1
    done
    die "still running: $(pgrep -af "$work/tiny")"
}

until_checkpoint() { # until one is being written, or there is nothing to wait for
    until compgen -G "$run/checkpoints/*.tmp" >/dev/null || ! kill -0 "$mpirun" 2>/dev/null; do sleep 0.01; done
    sleep 0.0$((RANDOM % 3))
}

kill_one() { # one of the ranks, if there are any yet, or mpirun
    local victims
    victims=($(pgrep -P "$mpirun") "$mpirun")
    victim=${victims[RANDOM % ${#victims[@]}]}
    what=rank
    [ "$victim" != "$mpirun" ] || what=mpirun
    kill -9 "$victim" 2>/dev/null
    killed=$((killed + 1))
}

milliseconds() { echo $((${EPOCHREALTIME/./} / 1000)); }

killed=0
expect 0 "$iddpm" import digits data
begin=$(milliseconds)
start calm
wait "$mpirun" || die "the undisturbed run failed"
longest=$(($(milliseconds) - begin))
echo "seed $3; undisturbed: $longest ms"

round=0
while [ "$killed" -lt "$kills" ]; do
    run=run-$round
    start $run
    moment=$((RANDOM % (longest / 2)))
    sleep "$((moment / 1000)).$(printf %03d $((moment % 1000)))"
    [ $((killed % 2)) = 0 ] || until_checkpoint
    if kill -0 "$mpirun" 2>/dev/null; then
        kill_one
        wait "$mpirun" 2>/dev/null
        nothing_runs
        check_start
        echo "kill $killed: $what at $moment ms, $(find $run -name '*.tmp' 2>/dev/null | wc -l) files half written; steps $from to $(newest $run)"
        [ ! -d $run/checkpoints ] || "$iddpm" verify $run >verified 2>&1 || die "damaged: $(cat verified)"
    else
        wait "$mpirun" || die "a restart failed"
        check_finished $run
        round=$((round + 1))
    fi
done

start $run
wait "$mpirun" || die "the last restart failed"
check_finished $run
bash "$here/jobs/clean-shm.sh"
finish
