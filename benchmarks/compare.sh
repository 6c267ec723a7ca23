# Sourced by train_step and forward: ours and the authors' code in turns, in one run, on the same cores.
# compare WHAT "$@": options --ours-only, --model cifar10|imagenet64, --batch N, --steps N, --threads N, --rounds N
compare() {
    local what=$1 model=cifar10 batch=8 steps=3 threads=1 rounds=2 ours_only=
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        --ours-only) ours_only=1 ;;
        --model) model=$2; shift ;;
        --batch) batch=$2; shift ;;
        --steps) steps=$2; shift ;;
        --threads) threads=$2; shift ;;
        --rounds) rounds=$2; shift ;;
        *) echo "$what: unknown option $1; --ours-only, --model cifar10|imagenet64, --batch N, --steps N, --threads N, --rounds N" >&2
           return 2 ;;
        esac
        shift
    done
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
    local lines=() line
    for _ in $(seq "$rounds"); do
        line=$(OMP_NUM_THREADS=$threads "$program" "$model" "$batch" "$steps" "$threads") || return 1
        echo "$line"
        lines+=("$line")
        [ -n "$ours_only" ] && continue
        line=$(OMP_NUM_THREADS=$threads "$python" "$here/authors.py" "$what" "$model" "$batch" "$steps" "$threads") || return 1
        echo "$line"
        lines+=("$line")
    done
    [ -n "$ours_only" ] || printf '%s\n' "${lines[@]}" | ratio "$what" "$model" "$batch" "$threads"
}

# Best of each side, and their ratio; memory is the largest of each.
ratio() {
    awk -v what="$1" -v model="$2" -v batch="$3" -v threads="$4" '
        function field(name) { return match($0, "\"" name "\": [0-9.e+]+") ? substr($0, RSTART + length(name) + 4, RLENGTH - length(name) - 4) + 0 : 0 }
        { who = /"who": "ours"/ ? "ours" : "authors"
          if (field("images_per_s") > rate[who]) rate[who] = field("images_per_s")
          if (field("peak_bytes") > peak[who]) peak[who] = field("peak_bytes") }
        END { printf "{\"benchmark\": \"%s\", \"who\": \"ratio\", \"model\": \"%s\", \"batch\": %d, \"threads\": %d, \"images_per_s\": %.4f, \"authors_images_per_s\": %.4f, \"ratio\": %.3f, \"peak_bytes\": %.0f, \"authors_peak_bytes\": %.0f}\n",
              what, model, batch, threads, rate["ours"], rate["authors"], rate["ours"] / rate["authors"], peak["ours"], peak["authors"] }'
}
