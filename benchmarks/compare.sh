# Sourced by train_step and forward: ours and the authors' code in turns, in one run, on the same cores.
# compare WHAT "$@": options --ours-only, --model cifar10|imagenet64, --batch N, --steps N, --threads N, --processes N,
# --rounds N
compare() {
    local what=$1 model=cifar10 batch=8 steps=3 threads=1 processes=1 rounds=2 ours_only=
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --ours-only) ours_only=1 ;;
        --model) model=$2; shift ;;
        --batch) batch=$2; shift ;;
        --steps) steps=$2; shift ;;
        --threads) threads=$2; shift ;;
        --processes) processes=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        *) echo "$what: unknown option $1; --ours-only, --model cifar10|imagenet64, --batch N, --steps N, --threads N, --processes N, --rounds N" >&2
           return 2 ;;
        esac
        shift
    done
    if [ "$processes" -gt 1 ] && [ "$threads" -gt 1 ]; then
        echo "$what: --processes takes a core each: not with --threads $threads" >&2
        return 2
    fi
    local here root python
    here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    root=$(dirname "$here")
    local program=${IDDPM_BUILD:-$root/build}/benchmarks/bench_$what
    [ -x "$program" ] || { echo "$what: $program is missing: cmake --preset release && cmake --build build" >&2; return 1; }
    if [ -z "$ours_only" ] && [ -z "${IDDPM_AUTHORS:-}" ]; then
        echo "$what: IDDPM_AUTHORS is not set to a checkout of openai/improved-diffusion: ours only" >&2
        ours_only=1
    fi
    python=python3
    [ -x /usr/bin/python3 ] && python=/usr/bin/python3 # the one that Debian's python3-torch belongs to
    export OMP_NUM_THREADS=$threads
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    for _ in $(seq "$rounds"); do
        at_once "$processes" "$program" "$model" "$batch" "$steps" "$threads" || return 1
        [ -n "$ours_only" ] ||
            at_once "$processes" "$python" "$here/authors.py" "$what" "$model" "$batch" "$steps" "$threads" || return 1
    done
    [ -n "$ours_only" ] || ratio "$what" "$model" "$batch" "$threads" "$processes" <"$work/lines"
}

# at_once N COMMAND ...: N processes of it side by side, the i-th on core i; a single one runs where it likes.
# Their lines are printed and kept in $work/lines.
at_once() {
    local n=$1 core pids=() pid status=0
    shift
    for core in $(seq 0 $((n - 1))); do
        if [ "$n" = 1 ]; then "$@"; else taskset -c "$core" "$@"; fi >"$work/core-$core" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || status=1; done
    cat "$work"/core-* | tee -a "$work/lines"
    return $status
}

# Best round of each side, where the rates of its processes are summed, and their ratio; memory is the largest of each.
ratio() {
    awk -v what="$1" -v model="$2" -v batch="$3" -v threads="$4" -v processes="$5" '
        function field(name) { return match($0, "\"" name "\": [0-9.e+]+") ? substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) + 0 : 0 }
        { who = /"who": "ours"/ ? "ours" : "authors"
          sum[who] += field("images_per_s")
          if (field("peak_bytes") > peak[who]) peak[who] = field("peak_bytes")
          if (++lines[who] % processes) next
          if (sum[who] > rate[who]) rate[who] = sum[who]
          sum[who] = 0 }
        END { printf "{\"benchmark\": \"%s\", \"who\": \"ratio\", \"model\": \"%s\", \"batch\": %d, \"threads\": %d, \"processes\": %d, \"images_per_s\": %.4f, \"authors_images_per_s\": %.4f, \"ratio\": %.3f, \"peak_bytes\": %.0f, \"authors_peak_bytes\": %.0f}\n",
              what, model, batch, threads, processes, rate["ours"], rate["authors"], rate["ours"] / rate["authors"], peak["ours"], peak["authors"] }'
}
