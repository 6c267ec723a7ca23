#!/bin/bash
# A disk that is full when a checkpoint, a line of metrics or a run's first file is to be written.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"

disk=$work/disk
mkdir "$disk"
if ! mount -t tmpfs -o size=6m tmpfs "$disk" 2>err; then
    echo "skipped: a small tmpfs cannot be mounted here: $(cat err)"
    exit 77
fi
trap 'umount -l "$disk"; rm -rf "$work"' EXIT

fill() { dd if=/dev/zero of="$disk/filler" bs=4k 2>dd.err || grep -q "No space left" dd.err || complain "$(cat dd.err)"; }
# whole RUN: its checkpoints are sound, there is no other file, and every line of its metrics is whole
whole() {
    expect 0 "$iddpm" verify "$1"
    [ -z "$(find "$1" -name '*tmp*' -o -name 'owner*')" ] || complain "left in $1: $(find "$1")"
    ! grep -vqE '^\{"step": [0-9]+, .*[0-9]\}$' "$1/metrics.jsonl" || complain "metrics: $(cat "$1/metrics.jsonl")"
    [ "$(awk -F, '{ print NF }' "$1/progress.csv" | sort -u | wc -l)" = 1 ] || complain "progress: $(cat "$1/progress.csv")"
}

# Room for one checkpoint, not for two: the run ends by store.max_failures, with one message.
begin=$SECONDS
expect 1 ranks 2 train tiny.yaml run.dir="$disk/run" total_steps=20 store.max_failures=2
[ $((SECONDS - begin)) -le 20 ] || complain "it took $((SECONDS - begin)) s to end"
counts 1 "no checkpoint since step 2, 2 intervals in a row: ended: rank 0 on $(hostname): "
says "cannot reserve"
says "No space left on device"
whole "$disk/run"

# No room at all: a run cannot start, and what is there stays.
fill
cp -r "$disk/run" before
expect 1 ranks 2 train "$disk/run"
[ "$(grep '^iddpm: ' err | grep -vc 'warning: ')" = 1 ] || complain "not one message: $(cat err)"
says "No space left on device"
expect 0 diff -r before "$disk/run"
whole "$disk/run"
rm "$disk/filler"

# Full for a while: training goes on, lines and checkpoints come again, and the end is the same.
mount -o remount,size=40m "$disk"
# What is made at intervals is left out meanwhile.
hooks="eval_interval=5 eval_num=2 eval_strata=1 sample_interval=5 sample_num=1 sample_steps=2"
expect 0 ranks 2 train tiny.yaml run.dir=calm total_steps=150 save_interval=50
timeout 120 mpirun --oversubscribe -n 2 "$iddpm" train tiny.yaml run.dir="$disk/back" total_steps=150 save_interval=50 \
    $hooks >out 2>err &
pid=$!
wait_for() { # PATTERN FILE
    for _ in $(seq 1200); do
        grep -q "$1" "$2" 2>/dev/null && return
        kill -0 $pid 2>/dev/null || break
        sleep 0.05
    done
    complain "no '$1': $(cat out err)"
}
wait_for '"step": 5,' "$disk/back/metrics.jsonl"
fill
wait_for 'no line of metrics at step' err
wait_for 'no checkpoint at step 50 ' err
wait_for 'no validation at step [0-9]*, training goes on: .*No space left on device' err
wait_for 'no sample grid at step [0-9]*, training goes on: .*No space left on device' err
rm "$disk/filler"
wait $pid || complain "it did not recover: $(cat out err)"
whole "$disk/back"
[ "$(tail -n 1 "$disk/back/metrics.jsonl" | grep -o '"step": 150,')" ] || complain "no line of the last step"
[ "$(wc -l <"$disk/back/metrics.jsonl")" -lt 150 ] || complain "the disk was never full"
[ "$(awk -F, '{ print NF }' "$disk/back/eval.csv" | sort -u)" = 9 ] || complain "eval.csv: $(cat "$disk/back/eval.csv")"
[ "$(cut -d, -f1,2 "$disk/back/eval.csv" | tail -n 1)" = "150,ema/0.9" ] || complain "the last line of eval.csv"
[ "$(grep -c params "$disk/back/eval.csv")" -lt 30 ] || complain "validation went on on a full disk"
[ -z "$(find "$disk/back/samples" -name '*tmp*' -o -empty)" ] || complain "grids: $(ls -l "$disk/back/samples")"
for group in params ema optimizer; do
    expect 0 h5diff calm/checkpoints/step-00000150.h5 "$disk/back/checkpoints/step-00000150.h5" /$group
done
finish
