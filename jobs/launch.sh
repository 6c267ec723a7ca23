# Starting a program on the ranks of a Slurm allocation, or of this machine, and passing signals on to it. Sourced.
#
#   launch PROGRAM ARGUMENT...   returns the program's exit status, or 75 when a signal ended it or kept it from starting
#
# Ranks and threads are those of the allocation. Without Slurm they come from RANKS (default: the largest power of two
# that this machine has processors for) and THREADS (default 1). MPIRUN_OPTIONS are mpirun's, where it is used.
# With launch_power set, no more ranks of an allocation are used than the largest power of two: a step has that many
# leaves, and a job of `-N 2-8` gets the nodes that are free.

launch_folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
launch_power=''
launch_saved='' # the last program that was stopped said by its status that everything is saved
stop_asked='' # a signal has come: nothing is started any more

if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

power_of_two() { # N: the largest up to N
    local power=1
    while [ $((2 * power)) -le "$1" ]; do power=$((2 * power)); done
    echo $power
}

launch_shape() { # sets `ranks`, and OMP_NUM_THREADS
    ranks=${SLURM_NTASKS:-${RANKS:-}}
    if [ -z "$ranks" ]; then
        ranks=$(power_of_two "$(nproc)")
    elif [ -n "$launch_power" ] && [ -n "${SLURM_NTASKS:-}" ]; then
        ranks=$(power_of_two "$ranks")
        [ "$ranks" = "$SLURM_NTASKS" ] || echo "$ranks of the job's $SLURM_NTASKS ranks are used: a power of two"
    fi
    export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-${THREADS:-1}}
}

# A rank on cores of its own, its threads beside each other: where srun can. Elsewhere threads are not bound, for all
# ranks of a node would put theirs on the same cores.
launch_bind() {
    scontrol show config | grep -q '^TaskPlugin .*affinity' || return 0
    [ -n "${SLURM_CPU_BIND:-}" ] || launcher+=(--cpu-bind=cores)
    [ "$OMP_NUM_THREADS" -eq 1 ] || export OMP_PLACES=${OMP_PLACES:-cores} OMP_PROC_BIND=${OMP_PROC_BIND:-close}
}

launch_command() { # sets the array `launcher`
    launch_shape
    if [ -n "${SLURM_JOB_ID:-}" ] && srun --mpi=list 2>&1 | grep -qw pmix; then
        # -K1: when one rank dies the others are ended, else they would wait for it until the time limit
        launcher=(srun --mpi=pmix -K1 --wait=0 --ntasks="$ranks" --cpus-per-task="$OMP_NUM_THREADS")
        launch_bind
    else
        # no binding: it would put all threads of a rank, and the ranks of two jobs, on the same core
        launcher=(mpirun -n "$ranks" ${MPIRUN_OPTIONS:---oversubscribe --bind-to none} -x OMP_NUM_THREADS)
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
    local pid='' status=75 interrupted=1 traps
    launch_saved=''
    traps=$(trap -p USR1 TERM INT)
    trap 'stop_asked=1 interrupted=1; [ -z "$pid" ] || kill -USR1 "$pid" 2>/dev/null' USR1 TERM INT
    launch_command
    launch_clean
    if [ -z "$stop_asked" ]; then
        set -m
        "${launcher[@]}" "$@" </dev/null &
        pid=$!
        set +m
        while [ -n "$interrupted" ]; do # a trap ends a wait
            interrupted=
            wait "$pid"
            status=$?
        done
        [ "$status" != 75 ] || launch_saved=1
    fi
    eval "${traps:-trap - USR1 TERM INT}"
    # The signal may have come before the program was ready for it, or another while it saved: then it ended by it.
    case $stop_asked:$status in 1:130 | 1:138 | 1:143) status=75 ;; esac
    case $status in 0 | 2 | 75) ;; *) launch_clean ;; esac
    return "$status"
}
