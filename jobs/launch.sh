# Starting a program on the ranks of a Slurm allocation, or of this machine, and passing signals on to it. Sourced.
#
#   launch PROGRAM ARGUMENT...   returns the program's exit status
#   requeue_if_stopped STATUS    under Slurm, status 75 puts the job back into the queue
#
# Ranks and threads are those of the allocation. Without Slurm they come from RANKS (default: the largest power of two
# that this machine has processors for) and THREADS (default 1).

launch_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

launch_shape() { # sets `ranks`, and OMP_NUM_THREADS
    ranks=${SLURM_NTASKS:-${RANKS:-}}
    if [ -z "$ranks" ]; then
        ranks=1
        while [ $((2 * ranks)) -le "$(nproc)" ]; do ranks=$((2 * ranks)); done
    fi
    export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-${THREADS:-1}}
}

launch_command() { # sets the array `launcher`
    launch_shape
    if [ -n "${SLURM_JOB_ID:-}" ] && srun --mpi=list 2>&1 | grep -qw pmix; then
        # -K1: when one rank dies the others are ended, else they would wait for it until the time limit
        launcher=(srun --mpi=pmix -K1 --ntasks="$ranks" --cpus-per-task="$OMP_NUM_THREADS")
    else
        # no binding: it would put all threads of a rank, and the ranks of two jobs, on the same core
        launcher=(mpirun -n "$ranks" --oversubscribe --bind-to none -x OMP_NUM_THREADS)
    fi
}

# Removes what Open MPI jobs that were killed left in memory, on every node of the job.
launch_clean() {
    local nodes=${SLURM_JOB_NUM_NODES:-1}
    if [ "$nodes" -gt 1 ]; then
        srun --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 --cpus-per-task=1 bash "$launch_folder/clean-shm.sh"
    else
        bash "$launch_folder/clean-shm.sh"
    fi
}

# USR1 (Slurm's warning before the time limit), TERM and INT become USR1 for the launcher, which passes it to the ranks:
# mpirun would answer TERM and INT by killing them. A process group of its own keeps a terminal's ^C off the launcher.
launch() {
    local pid status interrupted
    launch_command
    launch_clean
    set -m
    "${launcher[@]}" "$@" </dev/null &
    pid=$!
    set +m
    trap 'interrupted=1; kill -USR1 "$pid" 2>/dev/null' USR1 TERM INT
    interrupted=1
    while [ -n "$interrupted" ]; do # a trap ends a wait
        interrupted=
        wait "$pid"
        status=$?
    done
    trap - USR1 TERM INT
    case $status in 0 | 2 | 75) ;; *) launch_clean ;; esac
    return "$status"
}

# Before the script ends, so that jobs that depend on this one wait for it. Not when the job was cancelled meanwhile, and
# at most MAX_RESTARTS times (default 100).
requeue_if_stopped() {
    [ "$1" = 75 ] && [ -n "${SLURM_JOB_ID:-}" ] || return 0
    [ "$(squeue -h -j "$SLURM_JOB_ID" -o %T)" = RUNNING ] || return 0
    local restarts=${SLURM_RESTART_COUNT:-0}
    if [ "$restarts" -ge "${MAX_RESTARTS:-100}" ]; then
        echo "job $SLURM_JOB_ID was restarted $restarts times: not requeued; submit it again to continue" >&2
        return 0
    fi
    echo "stopped with everything saved: job $SLURM_JOB_ID goes back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
}
