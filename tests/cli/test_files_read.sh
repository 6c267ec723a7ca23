#!/bin/bash
# Which files each rank opens, by strace: rank 0 alone reads what all need to know, and a rank reads only its own shards.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"

if ! strace -f --seccomp-bpf -o trace true 2>err; then
    echo "skipped: strace cannot be used here: $(cat err)"
    exit 77
fi

# traced N COMMAND ...: the file calls of rank R are then in trace.R
traced() {
    rm -f trace.*
    # shellcheck disable=SC2016
    expect 0 timeout 120 mpirun --oversubscribe -n "$1" bash -c 'exec strace -f --seccomp-bpf -y -e trace=openat,read,pread64,pwrite64,fadvise64,fstat,newfstatat \
        -o "trace.$OMPI_COMM_WORLD_RANK" "$@"' bash "$iddpm" "${@:2}"
}
opened() { # RANK PATTERN: files opened, by name
    sed -nE 's/.*openat\([^"]*"([^"]*)".*= [0-9]+<.*/\1/p' "trace.$1" | grep -E "$2" | sed 's|.*/||' | sort -u | tr '\n' ' '
}

# opens RANK PATTERN NAMES
opens() {
    [ "$(opened "$1" "$2")" = "$3" ] || complain "rank $1 opened '$(opened "$1" "$2")' of $2, not '$3'"
}

# The size of a shard is asked for once in a microbatch, however many images come from it.
expect 0 "$iddpm" import digits one --shards 1
traced 1 train tiny.yaml run.dir=one-shard data.path=one batch_size=32 parallel.leaves=1 microbatch=32 data.cache=0
asked=$(grep -c 'fstat.*shard-' trace.0)
[ "$asked" -ge 4 ] && [ "$asked" -le 8 ] || complain "the size of a shard was asked for $asked times in 4 steps"

# More shards than are kept open: an image opens one at most once, though 256 of them are read ahead between.
expect 0 "$iddpm" import digits many --shards 512
traced 1 train tiny.yaml run.dir=many-shards data.path=many batch_size=256 parallel.leaves=16 total_steps=2 data.cache=0
opens=$(grep -c 'openat(.*shard-.*= [0-9]' trace.0)
[ "$opens" -le $((512 + 2 * 256)) ] || complain "512 shards were opened $opens times to read 512 images"

# 16 shards, 4 leaves: rank R of 4 has the shards R, R + 4, ...; they do not fit data.cache, so what comes is read ahead.
traced 4 train tiny.yaml run.dir=four batch_size=32 parallel.leaves=4 data.cache=0
opens 0 'tiny.yaml|digits/index.json' "index.json tiny.yaml "
for rank in 1 2 3; do opens $rank 'tiny.yaml|digits/index.json|config.yaml' ""; done
for rank in 0 1 2 3; do
    opens $rank 'shard-' "$(printf 'shard-%04d.h5 ' $rank $((rank + 4)) $((rank + 8)) $((rank + 12)))"
    ahead=$(grep -c 'fadvise64(.*shard-.*POSIX_FADV_WILLNEED' "trace.$rank") # 4 steps of 8 images
    [ "$ahead" = 32 ] || complain "rank $rank asked $ahead times to read an image ahead, not 32 times"
done

# A checkpoint: each rank opens the new file as often, and reads no more of it than one header for each slice that it
# writes, and what it wrote. (The network is so small that a slice is read in one piece.)
for rank in 1 2 3; do
    opens=$(grep -c 'openat(.*h5\.[0-9a-f]*\.tmp"' "trace.$rank")
    reads=$(grep -c 'read.*(.*h5\.[0-9a-f]*\.tmp>' "trace.$rank")
    writes=$(grep -c 'pwrite64(.*h5\.[0-9a-f]*\.tmp>' "trace.$rank")
    [ "$opens" = 6 ] || complain "rank $rank opened the files of two checkpoints $opens times, not 6 times"
    [ "$writes" -gt 0 ] || complain "rank $rank wrote nothing"
    [ "$reads" -le $((2 * writes)) ] || complain "rank $rank read $reads times to write $writes times"
done

# Continuing: one rank reads the configuration, and the headers of the checkpoint; all together read the rest once.
traced 4 train four total_steps=5
opens 0 'config.yaml$' "config.yaml "
for rank in 1 2 3; do opens $rank 'config.yaml|digits/index.json' ""; done
size=$(stat -c %s four/checkpoints/step-00000004.h5)
read=$(cat trace.? | awk '/read.*step-00000004.h5>/ { sum += $NF } END { print sum }')
[ "$read" -gt $((size / 4 * 3)) ] && [ "$read" -lt $((size / 4 * 5)) ] ||
    complain "the ranks read $read bytes of a checkpoint of $size bytes"

traced 2 nll run --num 8
opens 0 'held-out/index.json' "index.json "
opens 1 'held-out/index.json' ""
finish
