#!/bin/bash
# Training from copies of its data on the node's own disk: made by jobs/stage.sh, the same run, refusals.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"
export IDDPM=$iddpm
stage=$here/jobs/stage.sh train=$here/jobs/train.sbatch

# by hand: all that one of one rank reads, and nothing twice
expect 0 bash "$stage" disk/a tiny.yaml
prints "copied 17 of 17 files"
for file in digits/*; do expect 0 cmp "$file" "disk/a/${file##*/}"; done
expect 0 bash "$stage" disk/a tiny.yaml
prints "copied 0 of 17 files"
expect 0 "$iddpm" verify disk/a

# what has another size or time is copied again; what a killed copying left goes
printf x >>disk/a/shard-0003.h5
touch -d yesterday disk/a/shard-0005.h5
: >disk/a/.shard-0007.h5.part.4194304 # above the largest number of a process
expect 0 bash "$stage" disk/a tiny.yaml
prints "copied 2 of 17 files"
expect 0 cmp digits/shard-0003.h5 disk/a/shard-0003.h5
[ ! -e disk/a/.shard-0007.h5.part.4194304 ] || complain "the rest of a killed copying stays"

# the ranks of a node copy what they read, and no more: 2 leaves of 8 images, 16 shards, half for each of two ranks
expect 0 env SLURM_GTIDS=1 SLURM_NTASKS=2 SLURM_LOCALID=0 bash "$stage" disk/half tiny.yaml
prints "copied 9 of 9 files"
expect 0 env SLURM_GTIDS=2,3 SLURM_NTASKS=4 SLURM_LOCALID=1 bash "$stage" disk/other tiny.yaml
[ ! -e disk/other ] || complain "a second rank of the node copies too"
expect 0 mpirun --oversubscribe -n 2 bash "$stage" disk/both tiny.yaml
prints "copied 17 of 17 files"
counts 1 "copied"

# the same run to the bit, though the original shards are away; nothing of the copy stays in its configuration
mkdir away
mv digits/shard-*.h5 away
expect 0 "$iddpm" train tiny.yaml run.dir=near data.local=disk/a
expect 0 grep -q 'local: ""' near/config.yaml
mv away/shard-*.h5 digits
expect 0 diff <(grep -v ' dir: ' run/config.yaml) <(grep -v ' dir: ' near/config.yaml)
for group in params ema optimizer; do
    expect 0 h5diff run/checkpoints/step-00000004.h5 near/checkpoints/step-00000004.h5 $group
done
expect 0 "$iddpm" train near total_steps=5
expect 0 "$iddpm" train near total_steps=6 data.local=disk/a

# a copy without what a rank needs, of other data, and none
expect 1 "$iddpm" train tiny.yaml run.dir=half data.local=disk/half
says "in the copy of digits (jobs/stage.sh copies it again): disk/half/shard-"
[ ! -e half ] || complain "a refused run left a folder"
expect 2 "$iddpm" train tiny.yaml run.dir=half data.local=held-out
says "data.local=held-out on the command line: held-out is no copy of digits"
expect 2 "$iddpm" train tiny.yaml run.dir=half data.local=nowhere
says "data.local=nowhere on the command line: nowhere: no such folder"

# train.sbatch stages by itself; for fewer ranks than before, and for other data in the same place too
expect 0 env STAGE="$work/local" RANKS=2 bash "$train" --time-limit 1:00:00 tiny.yaml run.dir=job total_steps=2
prints "copied 17 of 17 files"
expect 0 env STAGE="$work/local" RANKS=1 bash "$train" job total_steps=4
prints "copied 0 of 17 files"
expect 0 env STAGE="$work/local" RANKS=2 bash "$train" tiny.yaml run.dir=other data.path=held-out
prints "copied 17 of 17 files"
[ "$(find local -mindepth 1 -maxdepth 1 | wc -l)" = 2 ] || complain "two data sets are in: $(find local -type d)"
expect 2 env STAGE="$work/local" RANKS=3 bash "$train" tiny.yaml run.dir=none
says "3 ranks cannot share"

# no room: said, nothing half-written; so with a folder that cannot be made, and a file that cannot be read
if mount -t tmpfs -o size=200k none "$work/away" 2>/dev/null; then
    trap 'umount "$work/away"; rm -rf "$work"' EXIT
    head -c 150000 /dev/zero >away/full
    expect 1 bash "$stage" away/a tiny.yaml
    says "KB free, but "
    says "are to be copied: make room"
    [ -z "$(find away/a -type f)" ] || complain "files were left: $(find away/a)"
    expect 1 env STAGE="$work/away" RANKS=1 bash "$train" tiny.yaml run.dir=none
    [ ! -e none ] || complain "a run that could not be staged left a folder"
fi
expect 1 bash "$stage" tiny.yaml/a tiny.yaml
says "tiny.yaml/a cannot be made"
mv digits/shard-0011.h5 away-11
expect 1 bash "$stage" disk/c tiny.yaml
says "digits/shard-0011.h5 cannot be read"
mv away-11 digits/shard-0011.h5
printf 'data: [' >broken.yaml
expect 2 bash "$stage" disk/c broken.yaml
expect 2 bash "$stage" disk/c

# a signal ends it with 75 and without rests; a pipe in place of a shard keeps cp waiting
cp -r digits slow && rm slow/shard-0002.h5 && mkfifo slow/shard-0002.h5
bash "$stage" disk/slow tiny.yaml data.path=slow >out 2>err &
pid=$!
deadline=$((SECONDS + 20))
until pgrep -x -P $pid cp >/dev/null || [ $SECONDS -ge $deadline ]; do sleep 0.1; done
kill -USR1 $pid
wait $pid
[ $? = 75 ] || complain "a stopped copying did not end with status 75: $(cat out err)"
[ -z "$(find disk/slow -name '.*.part.*')" ] || complain "a stopped copying left: $(ls -A disk/slow)"
finish
