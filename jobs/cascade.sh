# The two-stage cascade of the paper: samples of a model, and then each enlarged by a super-resolution model.
#
#   RANKS=4 bash jobs/cascade.sh BASE UPSAMPLER N FOLDER [OPTION ...] [-- OPTION ...]
#
# BASE and UPSAMPLER are runs or checkpoints. FOLDER gets base.npz and samples.npz, N images each, with their classes, and
# pictures of both. Options are those of `iddpm sample` for both stages, or before -- for the first and behind it for the
# second. Stopped or killed, the same command continues, and what is finished stays. Under Slurm: cascade.sbatch; sourced
# by job.sh, which has launch.

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
    launch "$IDDPM" sample "$base" --num "$number" --npz --out "$folder/base.png" ${first[@]+"${first[@]}"} || return
    launch "$IDDPM" sample "$upsampler" --num "$number" --base "$folder/base.npz" --npz --out "$folder/samples.png" \
        ${second[@]+"${second[@]}"}
}

if [ ${#BASH_SOURCE[@]} = 1 ]; then # called, not sourced
    set -u
    . "$(dirname "$0")/job.sh"
    job cascade "$@"
fi
