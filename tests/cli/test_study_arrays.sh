#!/bin/bash
# Submission of a study to a Slurm that is played here by three scripts: killed or refused on the way, without an answer
# from squeue, with tasks taken out of the file; what is queued is never submitted twice, and `cancel` finds all of it.
. "$(dirname "$0")/../support/shell.sh"
study="$iddpm study"
export FAKE=$work/fake IDDPM_JOBS=$here/jobs
mkdir "$FAKE"
cd "$work" || exit 1
export PATH=$FAKE:$PATH
: >"$FAKE/queue"
# What the file `next` says happens to the next sbatch: refuse, lose (the answer), kill (who submits), spoil (jobs.csv)
cat >"$FAKE/sbatch" <<'SH'
#!/bin/bash
next=$(cat "$FAKE/next" 2>/dev/null)
rm -f "$FAKE/next"
[ "$next" != refuse ] || { echo "sbatch: error: no such partition" >&2; exit 1; }
echo $(($(cat "$FAKE/last" 2>/dev/null || echo 100) + 1)) >"$FAKE/last"
job=$(cat "$FAKE/last")
for word; do
    case $word in
    --array=*) array=${word#--array=} ;;
    --comment=*) comment=${word#--comment=} ;;
    --output=*) echo "$job ${word#--output=}" >>"$FAKE/outputs" ;;
    esac
done
for range in $(tr , ' ' <<<"${array%%%*}"); do
    for index in $(seq "${range%-*}" "${range#*-}"); do echo "$job $index PENDING $comment" >>"$FAKE/queue"; done
done
case $next in
lose) exit 1 ;;
kill) kill -9 $PPID; exit ;;
spoil) rm -f "$SPOIL/jobs.csv"; mkdir "$SPOIL/jobs.csv" ;;
esac
echo "$job"
SH
cat >"$FAKE/squeue" <<'SH'
#!/bin/bash
[ ! -e "$FAKE/down" ] || { echo "squeue: error: Unable to contact slurm controller" >&2; exit 1; }
cat "$FAKE/queue"
SH
cat >"$FAKE/scancel" <<'SH'
#!/bin/bash
for job; do sed -i "/^$job /d" "$FAKE/queue"; done
SH
printf '#!/bin/bash\necho "MaxArraySize = 1001"\n' >"$FAKE/scontrol"
chmod +x "$FAKE"/*

cat >base.yaml <<'YAML'
data: {path: digits, eval_path: held-out}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: []}
diffusion: {diffusion_steps: 20, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 16}
YAML
write_study() { # SEEDS [FOLDER]
    cat >study.yaml <<YAML
study: ${2:-st}
base: base.yaml
seeds: [$1]
budget: {steps: 40}
checkpoints: 2
evaluate: [{nll: curve, images: 10}, {sample: grid, images: 4, checkpoints: all}]
slurm: {time: "30"}
YAML
}
queued() { [ "$(wc -l <"$FAKE/queue")" = "$1" ] || complain "not $1 tasks in the queue: $(cat "$FAKE/queue")"; }

# what is longer than its job
write_study 0
expect 0 $study plan study.yaml --throughput 1e-4
prints "1 point train for longer than slurm.time"
prints "1 point measure bits/dim for longer than slurm.time"
prints "1 point draw pictures for longer than slurm.time"
expect 0 $study plan study.yaml --throughput 100
counts 0 "slurm.time"

# killed after sbatch took an array: the next one finds it
write_study 0,1
echo kill >"$FAKE/next"
$study submit study.yaml >out 2>err &
wait $! 2>/dev/null # the shell says that it was killed
queued 2
[ ! -e st/jobs.csv ] || complain "jobs.csv was there before its array"
touch "$FAKE/down"
expect 1 $study cancel st
says "squeue does not answer"
expect 1 $study submit st --local 1
says "what Slurm has of st is not known"
rm "$FAKE/down"
expect 0 $study submit study.yaml
says "2 tasks are in Slurm of st that jobs.csv did not have: added"
counts 1 "6 tasks submitted in 3 arrays; 2 were queued or running"
queued 8
expect 0 $study submit st
counts 1 "0 tasks submitted"
queued 8
echo "t,local,0,seed-1,train,logs/x" >>st/jobs.csv # newer than the job that is there
expect 0 $study submit st
counts 1 "0 tasks submitted"

# logs have the names that sbatch was told, from wherever they are asked for
while read -r job output; do
    name=${output//%A/$job}
    grep -q "/$(basename "${name%%_%a.out}")_[0-9]*.out$" st/jobs.csv ||
        complain "no row of jobs.csv has the log $output of job $job: $(cat st/jobs.csv)"
done <"$FAKE/outputs"
grep -q ',logs/train-101_1.out$' st/jobs.csv || complain "the log of what was found: $(cat st/jobs.csv)"
expect 0 $study cancel st
counts 1 "8 tasks were cancelled"
queued 0
echo "iddpm: out of luck" >st/logs/train-101_0.out
mkdir elsewhere
(cd elsewhere && $study status "$work/st" >"$work/out" 2>"$work/err")
grep -q "out of luck" out || complain "the log is not found from another folder: $(cat out err)"
grep -q "$work/st/logs/train-101_0.out" out || complain "the log is not named: $(cat out)"

# refused, or without an answer: its list is kept, and its number is not used again
lists() { ls st/tasks/*.txt | wc -l; }
before=$(lists)
sums=$(cksum st/tasks/*.txt)
echo refuse >"$FAKE/next"
expect 1 $study submit st
says "no such partition"
echo lose >"$FAKE/next"
expect 1 $study submit st
queued 2
[ "$(lists)" = $((before + 2)) ] || complain "lists were removed or used again: $(ls st/tasks)"
[ "$(cksum $(cut -d' ' -f3 <<<"$sums"))" = "$sums" ] || complain "a list was changed"
expect 0 $study submit st
counts 1 "6 tasks submitted in 3 arrays; 2 were queued or running"
queued 8

# a point that the file no longer has: warned of, and cancelled with the rest
write_study 0
expect 0 $study submit study.yaml
says "4 tasks are queued or running that the study's file no longer has, as seed-1"
queued 8
touch "$FAKE/down"
expect 1 $study cancel st
counts 0 "nothing is queued"
rm "$FAKE/down"
expect 0 $study cancel st
counts 1 "8 tasks were cancelled"
queued 0

# a list as job.sh reads it
list=$(ls st/tasks/0001-*.txt)
[ "$(grep -cv '^#' "$list")" = 2 ] || complain "not a line for each task: $(cat "$list")"

# a job that cannot be recorded is taken back
write_study 0 full
echo spoil >"$FAKE/next"
SPOIL=full expect 1 $study submit study.yaml
says "which could not be recorded, was cancelled"
queued 0

# measured, and its checkpoints deleted: nothing is trained again
write_study 0 whole
expect 0 $study submit study.yaml
: >"$FAKE/queue"
mkdir -p whole/points/seed-0/{nll/curve,samples/grid}
for step in 2 40; do
    touch whole/points/seed-0/nll/curve/step-000000$(printf %02d $step).h5
    touch whole/points/seed-0/samples/grid/step-000000$(printf %02d $step).png
done
expect 0 $study submit whole
counts 1 "0 tasks submitted in 0 arrays; 0 were queued or running, 4 are done"
rm whole/points/seed-0/nll/curve/step-00000040.h5
expect 0 $study submit whole
counts 1 "2 tasks submitted"
finish
