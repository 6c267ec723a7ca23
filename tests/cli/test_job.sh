#!/bin/bash
# When a job script puts its job back into the queue, and which arguments a task of an array gets, against a scontrol and
# an mpirun that this test writes.
. "$(dirname "$0")/../support/shell.sh"
cd "$work" || exit 1
train=$here/jobs/train.sbatch
mkdir bin
printf '#!/bin/sh\nexit 1\n' >bin/srun # no pmix
cat >bin/mpirun <<'SH'
#!/bin/sh
printf '%s\n' "$*" >ran
exit $STATUS
SH
cat >bin/scontrol <<SH
#!/bin/sh
[ "\$1" = requeue ] && echo "\$2" >>"$work/requeued"
echo "JobId=7 JobName=x JobState=\$STATE Reason=None Dependency=(null) Requeue=1 Restarts=\$RESTARTS BatchFlag=1" \
    "Command=\${SCRIPT:-x} WorkDir=/elsewhere SubmitLine=sbatch jobs/other.sbatch a"
SH
chmod +x bin/*
export PATH=$work/bin:$PATH IDDPM=$iddpm

# ends STATUS WANTED [NAME=value ...]: the program ends so in job 7, running, restarted twice; is it requeued as WANTED?
ends() {
    local status=$1 wanted=$2
    shift 2
    rm -f requeued
    expect "$status" env STATUS="$status" STATE=RUNNING RESTARTS=2 SLURM_JOB_ID=7 SLURM_RESTART_COUNT=2 SLURM_NTASKS=1 "$@" \
        bash "$train" some.yaml
    [ "$(cat requeued 2>/dev/null)" = "$wanted" ] || complain "status $status, $*: requeued '$(cat requeued 2>&1)', not '$wanted'"
}
ends 75 7
prints "stopped with everything saved: job 7 goes back into the queue"
ends 75 11_3 SLURM_ARRAY_JOB_ID=11 SLURM_ARRAY_TASK_ID=3
ends 75 "" STATE=CANCELLED
ends 75 "" RESTARTS=3 # it runs again elsewhere
ends 75 "" MAX_RESTARTS=2
says "job 7 was restarted 2 times: not requeued"
ends 75 7 MAX_RESTARTS=3
for status in 0 2; do ends $status "" RETRIES=9; done
ends 1 ""
ends 137 7 RETRIES=3
prints "failed with status 137: job 7 goes back into the queue"
ends 137 "" RETRIES=2
ends 137 "" RETRIES=9 RESTARTS=3

# ranks are a power of two in training; arguments come from the task's line
run() { # STATUS ARGUMENT...
    rm -f ran
    expect "$1" env STATUS=0 STATE=RUNNING RESTARTS=0 SLURM_NTASKS=12 "${@:2}"
}
run 0 bash "$train" a.yaml
prints "8 of the job's 12 ranks are used"
grep -q -- '^-n 8 ' ran || complain "started with: $(cat ran)"
run 0 bash "$here/jobs/nll.sbatch" a
grep -q -- '^-n 12 .* nll a$' ran || complain "started with: $(cat ran)"
# Slurm runs a copy; the original may lie in a folder with spaces, have another name, and have arguments behind it
mkdir "my own" spool
ln -s "$here/jobs" "my own/jobs"
cp "$here/jobs/nll.sbatch" spool/slurm_script
for script in "$here/jobs/nll.sbatch a b/c.sbatch" "$work/my own/jobs/nll-2.sh a" "$here/jobs/nll.sbatch"; do
    expect 0 env STATUS=0 STATE=RUNNING RESTARTS=0 SLURM_JOB_ID=7 SLURM_NTASKS=2 SCRIPT="$script" bash spool/slurm_script a
    grep -q -- ' nll a$' ran || complain "a copy of '$script' started: $(cat ran)"
done
# both stages of a cascade, on all ranks; stopped in the first, the job comes back before the second
run 0 bash "$here/jobs/cascade.sbatch" a up 3 made --steps 5 -- --steps 7
grep -q -- '^-n 12 .* sample up --num 3 --base made/base.npz --npz --out made/samples.png --steps 7$' ran ||
    complain "the second stage started with: $(cat ran)"
rm -f requeued
expect 75 env STATUS=75 STATE=RUNNING RESTARTS=0 SLURM_JOB_ID=7 SLURM_NTASKS=2 bash "$here/jobs/cascade.sbatch" a up 3 made
grep -q -- ' sample a --num 3 --npz --out made/base.png$' ran || complain "after a stopped stage: $(cat ran)"
[ "$(cat requeued 2>&1)" = 7 ] || complain "a stopped cascade was not requeued: $(cat requeued 2>&1)"
printf '# first\na.yaml "run.dir=x y"\n\n  # second\nb.yaml $(touch evil)\n' >list
run 0 env SLURM_ARRAY_TASK_ID=0 bash "$train" --list list lr=1
grep -q ' train a.yaml run.dir=x y lr=1$' ran || complain "task 0 started with: $(cat ran)"
run 0 env SLURM_ARRAY_TASK_ID=1 bash "$train" --list list
[ ! -e evil ] || complain "a line of the list was run as a command"
run 2 env SLURM_ARRAY_TASK_ID=2 bash "$train" --list list
says "list has no line for task 2"
run 2 bash "$train" --list list
says "--list is for arrays"
run 2 env SLURM_ARRAY_TASK_ID=0 bash "$train" --list none
says "none: cannot read this list"
run 2 bash "$train"
says "train of what?"
run 2 env IDDPM=none bash "$train" a.yaml
says "none: no such program"
finish
