# The two-stage cascade of the paper: samples of a model, and then each enlarged by a super-resolution model.
#
#   RANKS=4 bash jobs/cascade.sh BASE UPSAMPLER N FOLDER [OPTION ...] [-- OPTION ...]
#
# BASE and UPSAMPLER are runs or checkpoints. FOLDER gets base.npz and samples.npz, N images each, with their classes, and
# pictures of both; base.checkpoint and samples.checkpoint name the newest checkpoints of runs when it began. Options are
# those of `iddpm sample` for both stages, or before -- for the first and behind it for the second. Stopped or killed, the
# same command continues, and what is finished stays. Under Slurm: cascade.sbatch; sourced by job.sh, which has launch.

# The checkpoint of a run that FILE names; at the first start the newest, so that no image is of a later one.
cascade_model() { # FILE RUN|CHECKPOINT
    local given path=$2
    if [ -s "$1" ]; then
        { IFS= read -r given && IFS= read -r path; } <"$1"
        if [ "$given" != "$2" ]; then
            echo "cascade: $1: this cascade was begun with $given, not $2; give it another folder" >&2
            return 2
        fi
    else
        if [ -d "$2" ]; then
            path=$("$IDDPM" info "$2" 2>/dev/null | sed -n 's/^  checkpoints  *[0-9]*, newest //p')
        fi
        [ -n "$path" ] || path=$2 # iddpm sample says what is wrong with it
        [ "$path" = "$2" ] || { printf '%s\n' "$2" "$path" >"$1.tmp" && mv "$1.tmp" "$1"; } || return 1
    fi
    printf '%s\n' "$path"
}

cascade() { # BASE UPSAMPLER N FOLDER [OPTION ...] [-- OPTION ...]
    local base=${1:-} upsampler=${2:-} number=${3:-} folder=${4:-} first=() second=() both=1 word
    if [ $# -lt 4 ] || [[ ! $number =~ ^[1-9][0-9]*$ ]]; then
        echo "cascade: usage: BASE UPSAMPLER N FOLDER [OPTION ...] [-- OPTION ...], N images; see the head of jobs/cascade.sh" >&2
        return 2
    fi
    shift 4
    for word; do
        if [ "$word" = -- ]; then both='' second=(); continue; fi
        [ -z "$both" ] || first+=("$word")
        second+=("$word")
    done
    mkdir -p "$folder" || return 1
    base=$(cascade_model "$folder/base.checkpoint" "$base") || return
    upsampler=$(cascade_model "$folder/samples.checkpoint" "$upsampler") || return
    launch "$IDDPM" sample "$base" --num "$number" --npz --out "$folder/base.png" ${first[@]+"${first[@]}"} || return
    launch "$IDDPM" sample "$upsampler" --num "$number" --base "$folder/base.npz" --npz --out "$folder/samples.png" \
        ${second[@]+"${second[@]}"}
}

if [ ${#BASH_SOURCE[@]} = 1 ]; then # called, not sourced
    set -u
    . "$(dirname "$0")/job.sh"
    job cascade "$@"
fi
