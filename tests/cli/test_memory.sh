#!/bin/bash
# The memory that iddpm info foretells is what a rank uses (peak_bytes in metrics.jsonl), within 5 %, and 8 MB more or less
# that libraries take: with checkpoints and a continuation, on 1 and 2 ranks.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

# near RUN PLAY ARGUMENT ...: what info ARGUMENT ... foretells against the largest peak of the run
near() {
    local run=$1 play=$2 foretold peak
    shift 2
    expect 0 "$iddpm" info "$@"
    foretold=$(sed -nE 's/^  memory +([0-9.]+) MB per rank.*/\1/p' "$work/out")
    peak=$(sed -E 's/.*"peak_bytes": ([0-9]+).*/\1/' "$run/metrics.jsonl" | sort -n | tail -1)
    awk -v f="$foretold" -v p="$peak" -v play="$play" 'BEGIN {
        p /= 1e6; d = f - p; exit !(f > 0 && p > 0 && d * d <= (0.05 * p + play) ^ 2) }' ||
        complain "$run: $foretold MB foretold, $peak bytes used"
}

# 12 million parameters: 300 to 400 MB, of which libraries are a tenth
medium="tiny.yaml num_channels=128 channel_mult=1,2 attention_resolutions=4 reduction=reproducible batch_size=8 leaves=2 ema_rate=0.9 save_interval=1"
for n in 1 2; do
    expect 0 ranks $n train $medium run.dir=medium$n total_steps=2
    near medium$n 0 $medium run.dir=medium$n total_steps=2 --ranks $n
done
# with validation and grids of samples, in memory that training has
hooks="eval_interval=2 eval_num=16 eval_strata=2 sample_interval=2 sample_num=400 sample_steps=2"
expect 0 "$iddpm" train $medium run.dir=hooks total_steps=2 $hooks
near hooks 0 $medium run.dir=hooks total_steps=2 $hooks --ranks 1
# what one rank began two go on with, and their own lines count
expect 0 ranks 2 train $medium run.dir=medium1 total_steps=4
tail -n 2 medium1/metrics.jsonl >after.jsonl
mv after.jsonl medium1/metrics.jsonl
near medium1 0 $medium run.dir=medium1 total_steps=4 --ranks 2

# 13 million parameters in a table of classes
classes="tiny.yaml class_cond=1 num_classes=100000 leaves=1 ema_rate=0.9"
expect 0 "$iddpm" train $classes run.dir=classes
near classes 0 $classes run.dir=classes --ranks 1

# half of it activations, with the rest made again in the backward pass: 150 MB; it would be 340
again="tiny.yaml num_channels=64 num_res_blocks=3 batch_size=256 leaves=1 use_checkpoint=true save_interval=1"
expect 0 ranks 1 train $again run.dir=again total_steps=1
near again 0 $again run.dir=again total_steps=1 --ranks 1
prints "computed again in the backward pass"

# a tiny one is mostly libraries; each rank's images are kept, or not
for n in 1 2; do
    for cache in 0 1; do
        expect 0 ranks $n train tiny.yaml run.dir=tiny$n$cache cache=$cache
        near tiny$n$cache 8 tiny.yaml run.dir=tiny$n$cache cache=$cache --ranks $n
    done
done
finish
