#!/bin/bash
# benchmarks/scaling_model on costs that are given: what it computes by hand, and what it refuses. That it knows every
# message is tested by tests/mpi/test_messages.c.
. "$(dirname "$0")/../support/shell.sh"
program=$(cd "$1" && pwd)/benchmarks/bench_scaling_model
cd "$work" || exit 1
cat >costs.jsonl <<'JSON'
{"cost": "machine", "isa": "avx512", "processes": 2, "copy": 1e+10, "store": 2e-09, "array": 0.0001, "disk": 5e+08}
{"cost": "network", "model": "cifar10", "microbatch": 4, "threads": 2, "image": 0.5, "serial": 0.1, "update": 1e-09, "pack": 2e-09}
JSON
model() { expect 0 "$program" --costs costs.jsonl --model cifar10 --json "$@"; }
value() { sed -nE "/\"ranks\": $1,/s/.*\"$2\": ([0-9.e+-]+).*/\1/p" "$work/out"; }
is() { # WHAT GOT EXPRESSION: within rounding of what is printed
    awk -v got="$2" "BEGIN { want = $3; d = got - want; exit !(got != \"\" && d * d <= (1e-3 * want) ^ 2) }" ||
        complain "'$ran': $1 is '$2', not $3"
}

# 52,776,960 padded parameters (1,024 a block) in 446 tensors; a checkpoint has four arrays of each
flat=52776960
model --batch 64 --disk 1
is "compute of one rank" "$(value 1 compute)" "64 * 0.5"
is "update of one rank" "$(value 1 update)" "$flat * 1e-9"
is "packing of one rank" "$(value 1 packing)" "$flat * 2e-9"
is "reduction of one rank" "$(value 1 reduction)" 0
is "efficiency of one rank" "$(value 1 efficiency)" 1
is "its checkpoint" "$(value 1 checkpoint_seconds)" "4 * 446 * 1e-4 + 52546438 * 16 * (2e-9 + 2 / 1e9)"
is "update of 16" "$(value 16 update)" "$flat * 1e-9 / 16"
is "packing of 16" "$(value 16 packing)" "$flat * 2e-9"
is "bytes of 16" "$(value 16 sent_bytes)" "2 * $flat * 4 * 15 / 16"
is "checkpoint of 16" "$(value 16 checkpoint_seconds)" "4 * 446 * 1e-4 + 52546438 * 16 * (2e-9 / 16 + 2 / 1e9)"
[ "$(value 128 compute)" = "" ] || complain "128 ranks have no image each of 64"

# two nodes of one rank: one level, over the link, each way half of the parameters; messages count for nothing here
model --batch 64 --ranks-per-node 1 --cores 1 --bandwidth 2 --latency 1e-6
is "reduction over a link" "$(value 2 reduction)" "2 * $flat * 2 / 2e9 + 1.5 * $flat * 2 / 1e10 + $flat / 1024 * 4 / 2e9"
# and of latency alone
model --batch 64 --ranks-per-node 1 --cores 1 --bandwidth 1e9 --latency 1e7
is "reduction of slow messages" "$(value 2 reduction)" "10 * $(value 2 sent_messages)"
# threads: a tenth of an image's time stays
model --batch 64 --threads 4
is "compute with threads" "$(value 1 compute)" "64 * 0.5 * (0.1 + 0.9 / 4)"

# past the batch it grows with the ranks, so that each has an image; the memory is that of `iddpm info`
model
[ "$(grep -c '"prediction"' out)" = 13 ] || complain "not 13 rows: $(cat out)"
is "batch of 4096 ranks" "$(value 4096 batch)" 4096
bytes=$(value 1 rank_bytes)
expect 0 "$iddpm" info "$here/jobs/configs/cifar10.yaml" leaves=1 microbatch=4 reduction=reproducible
is "memory of one rank" "$bytes" "1e6 * $(sed -nE 's/^  memory +([0-9.]+) MB.*/\1/p' out)"

expect 0 "$program" --costs costs.jsonl --model cifar10 --nodes 2 --cores 8
prints "best: 2 nodes x "
expect 0 "$program" --costs costs.jsonl --model cifar10 --nodes 2 --cores 8 --memory 0.1
prints "none of them fits 0 GB a node"
sed 's/"threads": 2/"threads": 1/' costs.jsonl >one.jsonl
expect 0 "$program" --costs one.jsonl --model cifar10 --nodes 2 --cores 8
prints "threads are taken to lose nothing"
expect 2 "$program" --costs costs.jsonl --model lsun256
says "costs.jsonl: has no costs of lsun256"
expect 2 "$program" --costs costs.jsonl --model lsun
says "lsun: no such model"
expect 2 "$program" --latency fast
says "--latency: found 'fast'"
finish
