# What train.sbatch, nll.sbatch and sample.sbatch do, each with its command of iddpm, and cascade.sbatch. Sourced.
#
#   job COMMAND ARGUMENT...             runs it on the ranks, brings the job back if it was stopped, and exits; COMMAND is
#                                       one of iddpm, or cascade (cascade.sh)
#   job COMMAND --list FILE [MORE ...]  an array: task N takes the arguments in line N + 1 of FILE, and MORE
#
# From the environment:
#
#   IDDPM         the program, when it is not build/iddpm of this repository
#   STAGE         folder on the nodes' own disks: training first copies its data there (stage.sh)
#   MAX_RESTARTS  how often Slurm may start the job again (default 100)
#   RETRIES       after a failure, too, it is started again, while it was so less often than this (default 0)

. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"
. "$launch_folder/cascade.sh"

# A file of runs: a line each, empty ones and comments apart, with the quotes of a shell.
job_line() { # FILE: sets `arguments` from the line of this task
    local task=${SLURM_ARRAY_TASK_ID:-} line
    if [ -z "$task" ]; then
        echo "--list is for arrays: sbatch --array=0-9%2 ... (by hand: SLURM_ARRAY_TASK_ID=0 bash ...)" >&2
        return 2
    fi
    [ -r "$1" ] || { echo "$1: cannot read this list" >&2; return 2; }
    line=$(grep -Ev '^[[:space:]]*(#|$)' "$1" | sed -n "$((task + 1))p")
    [ -n "$line" ] || { echo "$1 has no line for task $task of the array" >&2; return 2; }
    mapfile -t arguments < <(xargs printf '%s\n' <<<"$line")
    echo "task $task: $line"
}

job_configuration() { # ARGUMENT...: sets `configuration`, those that are no options of the command with their values
    local word option=''
    configuration=()
    for word; do
        case $option$word in
        --*=*) ;;
        --*) option=value ;;
        value*) option='' ;;
        *) configuration+=("$word") ;;
        esac
    done
}

# Under the name of a data set, with the sum of its index: another data set gets another folder.
job_stage() { # ARGUMENT...: sets `staged`, the folder with the copy
    local files index configuration
    launch_shape
    job_configuration "$@"
    files=$("$IDDPM" info "${configuration[@]}" --ranks "$ranks" --files 0) || return
    index=${files%%$'\n'*}
    staged=$STAGE/$(basename "$(dirname "$index")")-$(cksum <"$index" | cut -d' ' -f1)
    launch bash "$launch_folder/stage.sh" "$staged" "${configuration[@]}"
}

job_patience=120 # seconds, for a controller that is restarted, or whose place another takes

# Asks scontrol until it answers: job_answer, and the status of its answer. 1 with no answer when time has run out.
job_ask() { # ARGUMENT...: of scontrol
    local until=$((SECONDS + job_patience)) status
    while true; do
        job_answer=$(scontrol "$@" 2>&1)
        status=$?
        # a refusal is an answer as well
        if [ $status = 0 ] || grep -Eiq 'invalid job id|denied|disabled' <<<"$job_answer"; then return $status; fi
        [ $SECONDS -lt $until ] || break
        sleep $((job_patience < 5 ? 1 : 5))
    done
    echo "Slurm did not answer for $job_patience s: $job_answer" >&2
    job_answer=''
    return 1
}

# Puts the job back into the queue before the script ends, so that jobs that depend on this one wait for it.
job_come_back() { # STATUS
    local id restarts=${SLURM_RESTART_COUNT:-0} most=${RETRIES:-0} why="failed with status $1"
    case $1 in
    0 | 2) return 0 ;; # done, or wrong: the same would come of it again
    75) most=${MAX_RESTARTS:-100} why="stopped${launch_saved:+ with everything saved}" ;;
    *) [ "$restarts" -lt "$most" ] || return 0 ;;
    esac
    [ -n "${SLURM_JOB_ID:-}" ] || return 0
    id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID} id=${id:-$SLURM_JOB_ID}
    # not when it was cancelled meanwhile, or runs again elsewhere because this node was thought lost
    job_ask show job -o "$id"
    [ -z "$job_answer" ] || grep -q " JobState=RUNNING .* Restarts=$restarts " <<<"$job_answer" || return 0
    if [ "$restarts" -ge "$most" ]; then
        why="job $id was restarted $restarts times"
    elif [ -n "$job_answer" ]; then
        echo "$why: job $id goes back into the queue"
        job_ask requeue "$id" && return
        why="job $id could not go back into the queue${job_answer:+: $job_answer}"
    else
        why="$why: job $id could not go back into the queue"
    fi
    echo "$why: not requeued; submit it again to continue" >&2
}

job() {
    local command=$1 arguments more status=0 staged=
    shift
    export IDDPM=${IDDPM:-$launch_folder/../build/iddpm}
    if [ ! -x "$IDDPM" ]; then
        echo "$IDDPM: no such program: build it (INSTALL.md), or name it in IDDPM" >&2
        exit 2
    fi
    if [ "${1:-}" = --list ] && [ $# -ge 2 ]; then
        job_line "$2" || exit
        more=("${@:3}")
        arguments+=(${more[@]+"${more[@]}"})
    else
        arguments=("$@")
    fi
    if [ ${#arguments[@]} = 0 ]; then
        case $command in
        cascade) cascade ;;
        *) echo "$command of what? Usage: iddpm $command --help, and the head of jobs/$command.sbatch" >&2 ;;
        esac
        exit 2
    fi
    [ "$command" != train ] || launch_power=1
    trap 'stop_asked=1' USR1 TERM INT # a warning must not end the script before the job is requeued
    if [ "$command" = train ] && [ -n "${STAGE:-}" ]; then
        job_stage "${arguments[@]}"
        status=$?
        arguments+=("data.local=$staged")
    fi
    if [ $status = 0 ]; then
        case $command in
        cascade) cascade "${arguments[@]}" ;;
        *) launch "$IDDPM" "$command" "${arguments[@]}" ;;
        esac
        status=$?
    fi
    job_come_back "$status"
    exit "$status"
}
