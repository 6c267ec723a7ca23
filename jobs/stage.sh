#!/bin/bash
# Copies to this node's own disk what its ranks read in training, the data set's index and their shards:
#
#   stage.sh FOLDER CONFIG|RUN [key=value ...]      then train with data.local=FOLDER
#
# Started as the ranks will be, by srun or mpirun; the first rank of each node copies for all of them.
# `STAGE=DISK jobs/train.sbatch ...` does both. By hand, for all of RANKS ranks: RANKS=4 bash jobs/stage.sh ...
# What is there with the same size and time stays. Files appear under their names when they are whole.
# Status 75: stopped by a signal. IDDPM names the program when it is not build/iddpm of this repository.
set -u

if [ $# -lt 2 ]; then
    echo "stage.sh FOLDER CONFIG|RUN [key=value ...]" >&2
    exit 2
fi
folder=$1
shift
iddpm=${IDDPM:-$(dirname "$0")/../build/iddpm}

# Which ranks are here: `here`, such as 4-7, of `ranks`. Only one of them goes on.
if [ -n "${OMPI_COMM_WORLD_RANK:-}" ]; then
    ranks=$OMPI_COMM_WORLD_SIZE first=$((OMPI_COMM_WORLD_RANK - OMPI_COMM_WORLD_LOCAL_RANK))
    here=$first-$((first + OMPI_COMM_WORLD_LOCAL_SIZE - 1))
    [ "$OMPI_COMM_WORLD_LOCAL_RANK" = 0 ] || exit 0
elif [ -n "${SLURM_GTIDS:-}" ]; then
    ranks=$SLURM_NTASKS here=$SLURM_GTIDS
    [ "$SLURM_LOCALID" = 0 ] || exit 0
else
    ranks=${RANKS:-1} here=0-$((${RANKS:-1} - 1))
fi

fail() {
    echo "stage.sh: $(hostname -s): $*" >&2
    exit 1
}

copying='' part=''
trap '[ -z "$part" ] || rm -f "$part"' EXIT
trap '[ -z "$copying" ] || kill "$copying" 2>/dev/null; exit 75' USR1 TERM INT

same() { # FILE: whether its copy is there
    [ "$(stat -L -c '%s %Y' "$1")" = "$(stat -c '%s %Y' "$folder/${1##*/}" 2>/dev/null)" ]
}

copy() { # FILE
    part=$folder/.${1##*/}.part.$$
    cp --preserve=timestamps "$1" "$part" &
    copying=$!
    wait "$copying" && mv -f "$part" "$folder/${1##*/}" || fail "$1 cannot be copied to $folder"
    copying='' part=''
}

files=$("$iddpm" info "$@" --ranks "$ranks" --files "$here") || exit
mkdir -p "$folder" || fail "$folder cannot be made"
for old in "$folder"/.*.part.*; do # of a copying that was killed
    [ ! -e "$old" ] || kill -0 "${old##*.}" 2>/dev/null || rm -f "$old"
done

mapfile -t files <<<"$files"
missing=() bytes=0
for file in "${files[@]:1}" "${files[0]}"; do # the index last: without it a folder is no data set
    [ -r "$file" ] || fail "$file cannot be read"
    same "$file" && continue
    missing+=("$file")
    bytes=$((bytes + $(stat -L -c %s "$file")))
done
free=$(df --output=avail -B1 "$folder" | tail -n 1)
size() { numfmt --to=si --suffix=B "$1"; }
[ "$free" -ge "$bytes" ] || fail "$folder has $(size "$free") free, but $(size "$bytes") are to be copied: make room," \
    "choose another folder, or train without a copy (no STAGE)"
begin=$SECONDS
for file in ${missing[@]+"${missing[@]}"}; do copy "$file"; done
echo "$(hostname -s): copied ${#missing[@]} of ${#files[@]} files, $(size "$bytes"), to $folder in $((SECONDS - begin)) s"
