# Sourced by shell tests behind shell.sh: a small trained run in $work/run, its data in $work/digits and $work/held-out.
cd "$work" || exit 1

ranks() { # N COMMAND ...
    local n=$1
    shift
    timeout 120 mpirun --oversubscribe -n "$n" "$iddpm" "$@"
}

# stops SIGNAL TEXT COMMAND ...: once it has printed TEXT, the signal makes it end with status 75 and say so
stops() {
    local signal=$1 text=$2 pid status tries=0
    shift 2
    "$@" >"$work/out" 2>"$work/err" &
    pid=$!
    until grep -qF -- "$text" "$work/out" || [ $((tries += 1)) = 300 ]; do sleep 0.1; done
    kill -"$signal" $pid
    wait $pid
    status=$?
    [ "$status" = 75 ] || complain "'$*': status $status after SIG$signal: $(cat "$work/out" "$work/err")"
    ran="$*"
    says "stopped by a signal"
}

# tiny_run DIR [key=value ...]
tiny_run() {
    local dir=$1
    shift
    expect 0 "$iddpm" train tiny.yaml run.dir="$dir" "$@"
}

cat >tiny.yaml <<'YAML'
data: {path: digits, eval_path: held-out}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8, num_heads: 1}
diffusion: {diffusion_steps: 20, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 16, total_steps: 4, lr: 1e-3, ema_rate: [0.5, 0.9], log_interval: 1, save_interval: 2}
YAML
expect 0 "$iddpm" import digits digits
expect 0 "$iddpm" import digits held-out --split test
tiny_run run
