# same_bits.sh BUILD STEPS KILLS: parallel.reduction=reproducible gives after STEPS steps (a multiple of 20) the same
# checkpoint, bit for bit, and the same metrics on 1, 2, 4 and 8 ranks with 1 and 2 threads, with and without overlap, when
# continued on other numbers of ranks, with and without recomputation, and when killed KILLS times at random moments.
. "$(dirname "${BASH_SOURCE[0]}")/shell.sh"
steps=$2 most=$3
cd "$work" || exit 1
export OMP_WAIT_POLICY=passive OMPI_MCA_mpi_yield_when_idle=1
RANDOM=${SEED:-4}

# Attention, dropout, classes, a sampler that learns, on a respaced schedule, two EMAs; microbatches that do not divide a
# leaf; super-resolution, and all that is off by default.
cat >tiny.yaml <<YAML
data: {path: data}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8,
  dropout: 0.1, class_cond: true, label_dropout: 0.1, small_size: 4}
diffusion: {diffusion_steps: 40, timestep_respacing: 20, noise_schedule: cosine, learn_sigma: true, min_snr_gamma: 5}
train: {batch_size: 24, microbatch: 2, lr: 1e-3, total_steps: $steps, ema_rate: [0.9, 0.99], log_interval: 10,
  save_interval: 6, schedule_sampler: loss-second-moment, low_discrepancy: true, horizontal_flip: true}
parallel: {reduction: reproducible, leaves: 8}
YAML
expect 0 "$iddpm" import digits data

train() { # RANKS RUN [key=value ...]
    timeout 300 mpirun --oversubscribe --bind-to none -n "$1" "$iddpm" train "$work/tiny.yaml" "run.dir=$work/$2" "${@:3}"
}

last=checkpoints/$(printf 'step-%08d.h5' "$steps")

same_as_first() { # RUN
    local group
    for group in params ema optimizer sampler train; do
        h5diff "first/$last" "$1/$last" "/$group" >difference 2>&1 || complain "$1: other $group: $(head -n 5 difference)"
    done
    diff <(metrics first) <(metrics "$1") >difference || complain "$1: other metrics: $(head -n 5 difference)"
}

expect 0 train 1 first
expect 0 h5dump -m %d -d /sampler/counts "first/$last" # ten losses of each timestep: the sampler has its own weights
[ "$(sed -n 's/^ *([0-9]*): //p' "$work/out" | tr -d ' \n' | tr ',' '\n' | sort -u)" = 10 ] ||
    complain "the sampler still draws uniformly: $(cat "$work/out")"
for ranks in 1 2 4 8; do
    for threads in 1 2; do
        expect 0 train $ranks "r$ranks-t$threads" parallel.threads=$threads
        same_as_first "r$ranks-t$threads"
    done
done
expect 0 train 2 together parallel.overlap=false
same_as_first together

expect 0 train 2 moved total_steps=$((steps / 4)) use_checkpoint=true
expect 0 train 4 moved total_steps=$((steps / 4 * 3))
expect 0 train 1 moved use_checkpoint=true
same_as_first moved

# each time on another number of ranks and threads
kills=0 begin=$SECONDS
while [ "$kills" -lt "$most" ] && [ $((SECONDS - begin)) -lt $((60 * most)) ]; do
    ranks=$((1 << RANDOM % 4))
    train $ranks killed "parallel.threads=$((1 + RANDOM % 2))" >log 2>&1 </dev/null &
    launcher=$!
    sleep "$((RANDOM % 2)).$((RANDOM % 10))"
    victims=($(pgrep -f "^$iddpm train $work/tiny.yaml run.dir=$work/killed"))
    [ ${#victims[@]} -gt 0 ] && kill -9 "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null && kills=$((kills + 1))
    wait "$launcher" 2>/dev/null
    ! [ -e "killed/$last" ] || rm "killed/$last" # the end came first: once more from the checkpoint before
done
[ "$kills" = "$most" ] || complain "only $kills of $most kills in $((SECONDS - begin)) s: $(tail -n 20 log)"
expect 0 train 4 killed
same_as_first killed
bash "$here/jobs/clean-shm.sh"
finish
