# A job script asks Slurm to have its job back though Slurm does not answer, or refuses, and says no more than it knows.
. "$(dirname "$0")/../support/shell.sh"
cd "$work" || exit 1
mkdir bin
cat >bin/scontrol <<'SH'
#!/bin/bash
# the n-th call of a kind does the n-th line of its file, or the last
echo "$*" >>calls
n=$(grep -c "^$1" calls) lines=$(wc -l <"$1")
eval "$(sed -n "$((n < lines ? n : lines))p" "$1")"
SH
cat >bin/mpirun <<'SH'
#!/bin/bash
while [ "$1" != -x ]; do shift; done
exec "${@:3}"
SH
chmod +x bin/*
away='echo "slurm_load_jobs error: Unable to contact slurm controller (connect failure)" >&2; exit 1'
running='echo "JobId=12 JobName=a JobState=RUNNING Reason=None Requeue=1 Restarts=0 BatchFlag=1"'

# comes_back STATUS: after that status of the program; the lines in `show` and `requeue` are what scontrol does
comes_back() {
    : >calls
    expect 0 env PATH="$work/bin:$PATH" SLURM_JOB_ID=12 bash -c \
        '. "$1"; job_patience=$2; launch_saved=1; job_come_back "$3"' - "$here/jobs/job.sh" "${2:-60}" "$1"
}
asked() { # N KIND
    [ "$(grep -c "^$2" calls)" = "$1" ] || complain "scontrol $2 was not asked $1 times: $(cat calls out err)"
}

# The controller is away for a moment: asked again.
printf '%s\n' "$away" "$running" >show
printf '%s\n' "$away" true >requeue
comes_back 75
prints "goes back into the queue"
counts 0 "not requeued"
asked 2 show
asked 2 requeue

# For long: said.
echo "$away" >show
comes_back 75 1
says "Unable to contact slurm controller"
says "stopped with everything saved: job 12 could not go back into the queue: not requeued; submit it again to continue"
asked 0 requeue
echo "$running" >show
echo "$away" >requeue
comes_back 75 1
says "job 12 could not go back into the queue: not requeued; submit it again to continue"

# Slurm refuses: no use in asking again.
echo 'echo "Requested operation is presently disabled for job 12" >&2; exit 1' >requeue
comes_back 75
says "could not go back into the queue: Requested operation is presently disabled for job 12: not requeued; submit it"
asked 1 requeue

# Cancelled, and forgotten by now.
echo true >requeue
echo 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1' >show
comes_back 75
asked 1 show
asked 0 requeue
counts 0 job

# stopped_by TRAP: a whole job whose program does that on the signal that TERM becomes
stopped_by() {
    printf '#!/bin/bash\n%s\ntouch ready\nuntil false; do read -rt 0.1 <>fifo; done\n' "$1" >program
    rm -f ready fifo
    mkfifo fifo
    chmod +x program
    echo "$running" >show
    : >calls
    ran="job with $1"
    env PATH="$work/bin:$PATH" SLURM_JOB_ID=12 IDDPM="$work/program" bash -c '. "$1"; job nll run' - "$here/jobs/job.sh" \
        >out 2>err &
    wait_for [ -e ready ]
    kill $!
    wait $!
    local status=$?
    [ $status = 75 ] || complain "$ran: status $status: $(cat out err)"
    asked 1 requeue
}
stopped_by "trap 'exit 75' USR1"
prints "stopped with everything saved: job 12 goes back"
stopped_by "# ended by the signal"
prints "stopped: job 12 goes back"
counts 0 "everything saved"
finish
