#!/bin/bash
# A study under Slurm of two nodes: planned, submitted as job arrays, a node killed on the way, a point that fails and is
# reported while the others go on; collected, fitted and drawn; submitted again, which does only what is missing;
# cancelled.
. "$(dirname "$0")/cluster.sh"
study="$iddpm study"
export IDDPM_JOBS=$jobs

cat >study.yaml <<YAML
study: st
base: tiny.yaml
set: {train.save_interval: 50, data.cache: 0.1, diffusion_steps: 40}
zip: {train.lr: [3e-3, 1e-3, 2e-3], data.path: [missing, data, data]}
budget: {steps: 1500}
checkpoints: 2
evaluate:
  - {nll: curve, images: 20, strata: 5}
  - {sample: grid, images: 4}
slurm: {nodes: 1, tasks_per_node: 2, time: "30:00", throttle: 2}
YAML
good=lr-0.001_path-data other=lr-0.002_path-data bad=lr-0.003_path-missing

says_state() { # POINT STATE
    $study status st >status.out 2>&1 || fail "status: $(cat status.out)"
    grep -q "^$1  *$2 " status.out
}
queue_is_empty() { [ -z "$(squeue -h)" ]; }

echo "planned and submitted; submitted again at once, by two, nothing is added"
$study plan study.yaml --throughput 10 >plan.out || fail "plan"
grep -q "total: 3 points" plan.out || fail "plan: $(cat plan.out)"
$study submit study.yaml >first.out 2>&1 || fail "submit: $(cat first.out)"
grep -q "9 tasks submitted in 3 arrays" first.out || fail "submit: $(cat first.out)"
$study submit st >second.out 2>&1 &
$study submit study.yaml >third.out 2>&1 || fail "submit: $(cat third.out)"
wait $!
grep -qh "^st: 0 tasks submitted" second.out && grep -q "^st: 0 tasks submitted" third.out ||
    fail "what is queued was submitted again: $(cat second.out third.out)"

echo "a point without data fails and is reported; a node is killed under another, which comes back"
wait_until 60 says_state $bad failed
grep -q "missing: no such folder" status.out || fail "the reason is not said: $(cat status.out)"
log=$(grep -o "st/logs/train-.*\.out" status.out | head -n 1)
[ -s "$log" ] || fail "no log of the failed point: $(cat status.out)"
wait_until 60 has_checkpoint st/points/$other
node=$(squeue -h -r -t R -n iddpm-train -o '%K %N' | sed -n 's/^2 //p') # where the third point trains
[ -n "$node" ] || fail "it does not train any more"
bash "$cluster" node-down "$node"
sleep 2
bash "$cluster" node-up "$node"
wait_until 150 says_state $good done
wait_until 120 says_state $other done
wait_until 60 queue_is_empty
cat "$work"/st/logs/train-*.out | grep -q "continuing from" || fail "the lost training did not go on"
grep -q "^st: 3 points: 2 done, 1 failed; 2 trained, 6 of 9 results" status.out || fail "$(cat status.out)"
for point in $good $other; do
    "$iddpm" verify st/points/$point >verified 2>&1 || fail "$point is damaged: $(cat verified)"
    [ -e st/points/$point/nll/curve/step-00001500.h5 ] || fail "no bits/dim of $point"
    [ -e st/points/$point/samples/grid/step-00001500.png ] || fail "no picture of $point"
done

echo "collected, fitted and drawn while a point is missing; collected again, nothing changes"
$study collect st >collect.out 2>&1 || fail "collect: $(cat collect.out)"
cksum st/results.csv st/results.h5 st/metrics.csv >collected
$study collect st >collect.out 2>&1 || fail "collect: $(cat collect.out)"
cksum st/results.csv st/results.h5 st/metrics.csv | cmp -s - collected || fail "collected again, the tables changed"
for command in fit figures report; do
    $study $command st >$command.out 2>&1 || fail "$command: $(cat $command.out)"
done
[ -s st/fits.csv ] && [ -s st/report.html ] && [ -s st/figures/compute.png ] || fail "not all was drawn: $(ls st st/figures)"

echo "submitted again: only what is missing; cancelled, nothing stays"
mv data missing
scontrol update nodename=n1 state=drain reason=test && scontrol update nodename=n2 state=drain reason=test
$study submit st >again.out 2>&1 || fail "submit: $(cat again.out)"
grep -q "3 tasks submitted in 3 arrays; 0 were queued or running, 6 are done" again.out || fail "again: $(cat again.out)"
says_state $bad queued || fail "not queued: $(cat status.out)"
sed -i '$d' st/jobs.csv # as if submit had died before it wrote it
$study submit st >found.out 2>&1 || fail "submit: $(cat found.out)"
grep -q "1 task is in Slurm of st that jobs.csv did not have: added" found.out || fail "not found: $(cat found.out)"
grep -q "0 tasks submitted" found.out || fail "submitted twice: $(cat found.out)"
$study cancel st >cancel.out 2>&1 || fail "cancel: $(cat cancel.out)"
grep -q "3 tasks were cancelled" cancel.out || fail "cancel: $(cat cancel.out)"
$study cancel st | grep -q "nothing is queued or running" || fail "cancelled twice"
wait_until 30 queue_is_empty
scontrol update nodename=n1 state=resume && scontrol update nodename=n2 state=resume
finish_clean
