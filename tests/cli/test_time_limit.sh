# A job sees its end coming, told by --time-limit or by Slurm, and stops before it with everything saved.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"

# On two ranks; 10 s of the limit are held in reserve.
expect 75 ranks 2 train tiny.yaml run.dir=limited total_steps=1000000 save_interval=500000 --time-limit 0:16
counts 1 "with everything saved: the job ends at"
says "stopped at step "
says "run the same command again"
step=$(sed -n 's/.*stopped at step \([0-9]*\) of.*/\1/p' "$work/err")
[ -e "$(printf 'limited/checkpoints/step-%08d.h5' "$step")" ] || complain "no checkpoint of step $step: $(ls limited/checkpoints)"
[ "$step" -gt 0 ] || complain "no step was done"
expect 0 "$iddpm" verify limited
expect 0 "$iddpm" train limited total_steps=$((step + 2)) --time-limit=1-0
prints "continuing from limited/checkpoints/"

# Too short for a step and a checkpoint: not 75, upon which a job would come back for the same again.
expect 1 ranks 2 train limited total_steps=1000000 --time-limit 0:05
counts 1 "no step was done from step $((step + 2)) on"
says "s, a step and a checkpoint need 11 s or more: ask for a longer limit"
expect 1 "$iddpm" train tiny.yaml run.dir=short --time-limit 0:05
says "ask for a longer limit"
[ -z "$(ls short/checkpoints)" ] || complain "a checkpoint of no step: $(ls short/checkpoints)"
expect 0 "$iddpm" train short

# Slurm is asked, once, when the option does not say it; it may not answer.
mkdir bin
slurm() { # COMMAND ...: in a job of Slurm whose squeue is bin/squeue
    PATH=$work/bin:$PATH SLURM_JOB_ID=12 SLURM_CLUSTER_NAME=c "$@"
}
printf '#!/bin/sh\necho "$@" >>%s/questions\necho 0:16\n' "$work" >bin/squeue
chmod +x bin/squeue
expect 75 slurm ranks 2 train tiny.yaml run.dir=asked total_steps=1000000 save_interval=500000
says "the job ends at"
[ "$(cat questions)" = "-h -j 12 -o %L" ] || complain "squeue was asked: $(cat questions)"
expect 0 slurm "$iddpm" train tiny.yaml run.dir=longer --time-limit 60
[ "$(wc -l <questions)" = 1 ] || complain "squeue was asked though --time-limit was given"
# The number of an array's last task is that of the whole array, too.
expect 75 env SLURM_ARRAY_JOB_ID=12 SLURM_ARRAY_TASK_ID=3 PATH="$work/bin:$PATH" SLURM_JOB_ID=12 \
    "$iddpm" train tiny.yaml run.dir=task total_steps=1000000 save_interval=500000
[ "$(tail -n 1 questions)" = "-h -j 12_3 -o %L" ] || complain "of a task squeue was asked: $(tail -n 1 questions)"
printf '#!/bin/sh\nexit 1\n' >bin/squeue
expect 0 slurm "$iddpm" train tiny.yaml run.dir=failing

expect 2 ranks 2 train tiny.yaml run.dir=wrong --time-limit 1:2:3:4
counts 1 "--time-limit: found '1:2:3:4'"
expect 2 "$iddpm" train tiny.yaml run.dir=wrong --time-limit 0
[ ! -e wrong ] || complain "a refused run left a folder"
finish
