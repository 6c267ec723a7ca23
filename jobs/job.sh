# What train.sbatch, nll.sbatch and sample.sbatch do, each with its command of iddpm. Sourced.
#
#   job COMMAND ARGUMENT...             runs it on the ranks, brings the job back if it was stopped, and exits
#   job COMMAND --list FILE [MORE ...]  an array: task N takes the arguments in line N + 1 of FILE, and MORE
#
# From the environment:
#
#   IDDPM         the program, when it is not build/iddpm of this repository
#   STAGE         folder on the nodes' own disks: training first copies its data there (stage.sh)
#   MAX_RESTARTS  how often Slurm may start the job again (default 100)
#   RETRIES       after a failure, too, it is started again, while it was so less often than this (default 0)

. "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

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

# Puts the job back into the queue before the script ends, so that jobs that depend on this one wait for it.
job_come_back() { # STATUS
    local id restarts=${SLURM_RESTART_COUNT:-0} most=${RETRIES:-0} why="failed with status $1"
    case $1 in
    0 | 2) return 0 ;; # done, or wrong: the same would come of it again
    75) most=${MAX_RESTARTS:-100} why="stopped with everything saved" ;;
    esac
    [ -n "${SLURM_JOB_ID:-}" ] || return 0
    id=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID} id=${id:-$SLURM_JOB_ID}
    # not when it was cancelled meanwhile, or runs again elsewhere because this node was thought lost
    scontrol show job -o "$id" | grep -q " JobState=RUNNING .* Restarts=$restarts " || return 0
    if [ "$restarts" -lt "$most" ]; then
        echo "$why: job $id goes back into the queue"
        scontrol requeue "$id"
    elif [ "$1" = 75 ]; then
        echo "job $id was restarted $restarts times: not requeued; submit it again to continue" >&2
    fi
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
        echo "$command of what? Usage: iddpm $command --help, and the head of jobs/$command.sbatch" >&2
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
        launch "$IDDPM" "$command" "${arguments[@]}"
        status=$?
    fi
    job_come_back "$status"
    exit "$status"
}
