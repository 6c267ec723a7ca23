#!/bin/bash
# iddpm study plan, submit --local, status and cancel: a small study end to end, one point of which fails; again and
# again, which does only what is missing; at once, and after a holder of the lock has died; with a thousand points.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"
study="$iddpm study"

cat >small.yaml <<YAML
study: st
title: two sizes, and a point without data
base: tiny.yaml
set: {train.save_interval: 1000}
zip: {model.num_channels: [32, 64, 32], data.path: [digits, digits, missing]}
seeds: [7]
budget: {steps: 40}
checkpoints: {number: 3, first: 0.1}
evaluate:
  - {nll: curve, images: 10, strata: 5}
  - {sample: grid, images: 4, respacing: [5, ""]}
slurm: {tasks_per_node: 2, time: "30"}
YAML
good="num_channels-32_path-digits_seed-7" large="num_channels-64_path-digits_seed-7" bad="num_channels-32_path-missing_seed-7"

# plan: writes nothing
expect 0 $study plan small.yaml --throughput 10
for text in "$good" "$large" "$bad" "total: 3 points" "at 10 GFLOP/s per core"; do prints "$text"; done
expect 0 $study plan small.yaml
prints "measured now on the smallest network"
[ ! -e st ] || complain "plan made the study's folder"
sed 's/time: .*/memory: 1e-3}/' small.yaml >tight.yaml
expect 2 $study plan tight.yaml --throughput 10
prints "does not fit: $good and 1 more: 2 ranks of a node need" # the larger one needs something else
says "3 of 3 points do not fit"
sed 's/tasks_per_node: 2/tasks_per_node: 4/' small.yaml >many.yaml
expect 2 $study submit many.yaml --local 4
says "4 ranks cannot share the 2 leaves"
[ ! -e st/study.yaml ] || complain "a study that cannot run was kept"
expect 0 $study submit small.yaml --local 2 --dry-run
counts 12 "env RANKS=2"

# the whole of it; what fails stops nothing else
expect 1 $study submit small.yaml --local 2
says "study: 1 task failed: $bad train"
says "st/logs/$bad-train.log"
for point in $good $large; do
    for step in 4 13 40; do
        for file in checkpoints/step-000000$(printf %02d $step).h5 nll/curve/step-000000$(printf %02d $step).h5; do
            [ -e st/points/$point/$file ] || complain "st/points/$point/$file is missing"
        done
    done
    for picture in grid_5 grid_all; do
        [ -e st/points/$point/samples/$picture/step-00000040.png ] || complain "no picture $picture of $point"
    done
done
for by in small.yaml st; do
    expect 0 $study status $by
    for text in "$good  *done *100.0 % .*5/5  [0-9.]* +- [0-9.]*" "$bad *failed *0.0 %" "missing" "1 failed" "st/logs/$bad-train.log" \
        "10 of 15 results"; do
        grep -q -- "$text" out || complain "status $by does not print '$text': $(cat out)"
    done
done

# again: only what failed
expect 1 $study submit st --local 2
counts 1 "task 1 of 4: train $bad"
counts 0 "$good"
# without the point nothing is missing, and nothing is written
sed 's/\[32, 64, 32\]/[32, 64]/; s/, missing//' small.yaml >less.yaml
expect 0 $study submit less.yaml --local 2
prints "st: nothing is missing"
find st -type f -exec cksum {} + | grep -v st/lock | sort >before
expect 0 $study submit st --local 1
find st -type f -exec cksum {} + | grep -v st/lock | sort >after
cmp -s before after || complain "a study that is whole was changed: $(diff before after)"

# a lost result, a longer list and an evaluation more: that and no more
rm st/points/$good/samples/grid_5/step-00000040.png
sed 's/\[32, 64\]/[32, 64, 96]/; s/\[digits, digits/&, digits/' less.yaml >more.yaml
expect 0 $study submit more.yaml --local 2
counts 1 "task 1 of 5: grid_5 $good"
counts 4 "num_channels-96_path-digits_seed-7"

# what has begun stays what it is
sed 's/set: {/set: {lr: 0.5, /' more.yaml >changed.yaml
expect 2 $study submit changed.yaml --local 2
says "point $good has begun with another configuration"
says "train.lr: 0.5 here, 0.001 there"
cmp -s more.yaml st/study.yaml || complain "a refused file was kept"

# so do the settings of an evaluation that has results, also after it was taken out
sed 's/strata: 5/strata: 4/' more.yaml >changed.yaml
expect 2 $study submit changed.yaml --local 2
says "evaluation curve has results that were measured with other settings (strata: 4 here, 5 there)"
sed 's/images: 4,/images: 4, seed: 4,/' more.yaml >changed.yaml
expect 2 $study submit changed.yaml --local 2
says "evaluation grid_5 has results that were measured with other settings (seed: 4 here, -1 there)"
sed 's/nll: curve/nll: other/' more.yaml >renamed.yaml
expect 0 $study submit renamed.yaml --local 2
expect 2 $study submit changed.yaml --local 2
rm -r st/points/*/samples
sed -n '1,/^evaluate/p' more.yaml >fewer.yaml
echo '  - {nll: other, images: 10, strata: 5}' >>fewer.yaml
echo '  - {sample: grid_5, images: 4, seed: 4, respacing: 5}' >>fewer.yaml
expect 0 $study submit fewer.yaml --local 2

# checkpoints more: only ahead of the training
sed 's/number: 3/number: 2/' fewer.yaml >changed.yaml
expect 0 $study submit changed.yaml --local 2
prints "nothing is missing"
sed 's/number: 3/number: 4/' fewer.yaml >changed.yaml
expect 2 $study submit changed.yaml --local 2
says "train.save_steps: 9, which is not there, and the training is at 40"
sed 's/steps: 40/steps: 50/' fewer.yaml >changed.yaml
expect 2 $study submit changed.yaml --local 2
says "train.total_steps: 50 here, 40 there"

# two at once; the lock goes with its holder, whose training saves and ends
sed -n '1,/^seeds/p' small.yaml | sed 's/study: st/study: long/; s/\[32, 64, 32\]/[32]/; s/, digits, missing//' >long.yaml
echo 'budget: {steps: 1000000}' >>long.yaml
$study submit long.yaml --local 2 >first.out 2>first.err &
first=$!
run=long/points/num_channels-32_path-digits_seed-7
wait_for grep -q '"step": [0-9][0-9]' $run/metrics.jsonl
expect 1 $study submit long.yaml --local 2
says "long/lock is held by process $first on $(hostname) since "
expect 0 $study status long
prints " running "
kill -9 $first
wait $first 2>/dev/null # the shell says that it was killed
trained() { ls $run/checkpoints/step-*.h5; }
wait_for trained
wait_for grep -q "stopped by a signal" long/logs/num_channels-32_path-digits_seed-7-train.log
$study submit long.yaml --local 2 >second.out 2>second.err &
second=$!
continues() { grep -q "continuing from" long/logs/*-train.log; }
wait_for continues
expect 0 $study cancel long
prints "process $second, which runs the study here, was asked to save and end"
wait $second
status=$?
[ $status = 75 ] || complain "a cancelled study ended with status $status: $(cat second.err)"
expect 0 $study status long
prints " stopped "
expect 0 $study cancel long
prints "nothing is queued or running"

# a thousand points
cat >thousand.yaml <<YAML
study: thousand
base: tiny.yaml
grid: {train.lr: [1e-3, 2e-3], num_channels: [32, 64, 96, 128, 160]}
seeds: [$(seq -s, 0 99)]
budget: {flops: 1e12}
evaluate: [{nll: curve, images: 10}]
YAML
result=$work/st/points/$good/nll/curve/step-00000040.h5
"$iddpm" study plan thousand.yaml --throughput 10 >plan.out || complain "a thousand points cannot be planned"
[ "$(grep -c '^lr-' plan.out)" = 1000 ] || complain "not a thousand points: $(tail -n 3 plan.out)"
mkdir -p thousand
while read -r point _ _ _ _ steps _; do
    mkdir -p thousand/points/$point/{checkpoints,nll/curve}
    steps=$(printf %08d "$steps")
    ln "$result" thousand/points/$point/nll/curve/step-$steps.h5
    ln "$result" thousand/points/$point/checkpoints/step-$steps.h5
done < <(grep '^lr-' plan.out)
TIMEFORMAT='%U %S'
for command in "plan thousand.yaml --throughput 10" "status thousand.yaml" "submit thousand.yaml --local 1 --dry-run"; do
    { time $study $command >out 2>err || complain "$command: $(cat err)"; } 2>took
    awk '{ exit $1 + $2 > 10 }' took || complain "$command took $(cat took) s"
done
expect 0 $study status thousand.yaml
prints "1000 points: 1000 done; 1000 trained, 1000 of 1000 results"

expect 2 $study sumbit st
says "study: sumbit: unknown command; nearest is submit"
expect 2 $study submit none.yaml
says "none.yaml: no such study"
finish
