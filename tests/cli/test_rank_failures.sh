#!/bin/bash
# What fails on one rank alone, its memory or a shard that only it reads, ends all ranks within seconds, none with status
# 0, and with one message that names rank, host and cause; what was saved before is whole.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"

# Each rank leaves its exit status; rank 1 gets at most $limit KiB of memory, or, of a build with AddressSanitizer, which
# maps terabytes, no piece of more than $limit KiB; the peak of each is noted.
grep -q __asan_init "$iddpm" && export sanitized=1
cat >rank.sh <<'SH'
r=$OMPI_COMM_WORLD_RANK
echo none >status.$r
if [ "$r" = 1 ] && [ -n "$limit" ] && [ -n "${sanitized-}" ]; then
    export ASAN_OPTIONS="allocator_may_return_null=1:max_allocation_size_mb=$((limit / 1024)):${ASAN_OPTIONS-}"
elif [ "$r" = 1 ] && [ -n "$limit" ]; then
    ulimit -v "$limit"
fi
"$@" &
while grep -h VmPeak /proc/$!/status >peak.$r.new 2>/dev/null && [ -s peak.$r.new ]; do mv peak.$r.new peak.$r; sleep 0.02; done
wait $!
s=$?
echo $s >status.$r
exit $s
SH
on_two() { limit=${limit-} timeout -k 5 60 mpirun --oversubscribe -n 2 bash rank.sh "$iddpm" train tiny.yaml "$@"; }

# ends TEXT: the last run ended so
ends() {
    grep -qx 0 status.? && complain "'$ran': a rank ended with 0: $(cat err)"
    [ "$(grep '^iddpm: ' err | grep -vc '^iddpm: warning: ')" = 1 ] || complain "'$ran': not one message: $(cat err)"
    says "iddpm: rank 1 on $(hostname): "
    says "$1"
}

# Memory: less than OpenBLAS takes at the start, and less than the buffers of training. The network is large enough to
# tell the two apart; on many threads it would take gigabytes.
large="threads=1 num_channels=64 channel_mult=1,2 num_res_blocks=2 batch_size=128 total_steps=1"
# shellcheck disable=SC2086
expect 0 on_two run.dir=large $large
peak=$(tr -dc 0-9 <peak.1)
limits="$((peak - 200000)) $((peak - 50000))"
[ -z "${sanitized-}" ] || limits="1024 8192"
for limit in $limits; do
    begin=$SECONDS
    # shellcheck disable=SC2086
    expect 1 on_two run.dir=none $large
    [ $((SECONDS - begin)) -le 20 ] || complain "at most $limit KiB: it took $((SECONDS - begin)) s to end"
    ends "no memory for"
    [ ! -e none ] || complain "a run that could not start left $(find none)"
done
limit=

# A shard of rank 1 is cut off, before the run and while it is read.
cp -r digits cut
truncate -s 20000 cut/shard-0001.h5
expect 1 on_two run.dir=none data.path=cut
ends "cut/shard-0001.h5: cannot open"
[ ! -e none ] || complain "a run that could not start left $(find none)"

cp -r digits later
on_two run.dir=later-run data.path=later data.cache=0 total_steps=100000 save_interval=10 >out 2>err &
for _ in $(seq 1200); do [ -e later-run/checkpoints/step-00000010.h5 ] && break; sleep 0.05; done
truncate -s 20000 later/shard-0001.h5
begin=$SECONDS
wait $! && complain "training went on over a shard that was cut off"
[ $((SECONDS - begin)) -le 20 ] || complain "it took $((SECONDS - begin)) s to end"
ran="a shard cut off while it is read"
ends "later/shard-0001.h5: has become shorter"
expect 0 "$iddpm" verify later-run
[ -z "$(find later-run -name '*tmp*')" ] || complain "left: $(find later-run -name '*tmp*')"
finish
