#!/bin/bash
# iddpm verify: sound and damaged checkpoints, runs and data sets.
. "$(dirname "$0")/../support/shell.sh"
cd "$work" || exit 1

# flip FILE OFFSET: another value for that byte
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

expect 0 "$iddpm" import digits data/digits --shards 2
expect 0 "$iddpm" train "$here/jobs/configs/digits.yaml" run.dir=run num_channels=32 channel_mult=1 num_res_blocks=1 \
    attention_resolutions= batch_size=8 total_steps=3 save_interval=1 log_interval=1
first=run/checkpoints/step-00000001.h5
second=run/checkpoints/step-00000002.h5
third=run/checkpoints/step-00000003.h5

expect 0 "$iddpm" verify run data/digits "$third"
counts 5 "sound "
prints "$second: step 2, "
prints "data/digits: 1497 images in 2 shards"
expect 0 "$iddpm" verify run/checkpoints
counts 3 "sound "

# One other byte in any array of a trained checkpoint is noticed, by verify and by a continuation, which passes it over.
n=0
while read -r size offset; do
    flip "$third" $((offset + size / 2))
    expect 1 "$iddpm" verify "$third"
    prints "damaged"
    if [ $((n % 60)) = 0 ]; then
        rm -rf again && cp -r run again
        expect 0 "$iddpm" train again
        says "passed over: again/checkpoints/step-00000003.h5: damaged: the checksum of "
        prints "continuing from again/checkpoints/step-00000002.h5"
        expect 0 "$iddpm" verify again
    fi
    flip "$third" $((offset + size / 2))
    n=$((n + 1))
done < <(h5dump -p -H "$third" | awk '$1 == "SIZE" { size = $2 } $1 == "OFFSET" { print size, $2 }')
[ "$n" -gt 200 ] || complain "the checkpoint has only $n arrays"
expect 0 "$iddpm" verify "$third"

flip "$first" $(($(stat -c %s "$first") / 2)) # the arrays are most of the file
truncate -s -1 "$third"
expect 1 "$iddpm" verify run
counts 1 "sound "
prints "damaged  $first: damaged: the checksum of "
prints "damaged  $third: cannot open: truncated file"
says "verify: 2 of 3 damaged"
says_lines 1

shard=$(ls data/digits/*.h5 | head -1)
flip "$shard" 20000 # among the pixels, which begin in the first 5,000 bytes
expect 1 "$iddpm" verify data/digits
prints "damaged  $shard"
says "verify: 1 of 1 damaged"

rm run/checkpoints/*
expect 0 "$iddpm" verify run
prints "a run without checkpoints"
expect 1 "$iddpm" verify run/config.yaml
prints "no HDF5 file"
expect 2 "$iddpm" verify nowhere
says "nowhere: there is no such file or folder"
expect 2 "$iddpm" verify
finish
