# Sourced by the shell tests with the build folder as $1: runs commands and compares status and text.
set -u
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 # also when a test is run by hand
iddpm=$(cd "$1" && pwd)/iddpm
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) # the repository
work=$(mktemp -d "${TMPDIR:-/tmp}/iddpm-test-XXXXXX")    # removed at the end
failures=0
trap 'rm -rf "$work"' EXIT

complain() {
    echo "FAILED: $*"
    failures=$((failures + 1))
}

# expect STATUS COMMAND ...: runs it; output is then in $work/out and $work/err
expect() {
    local status=$1 got
    shift
    ran="$*"
    "$@" >"$work/out" 2>"$work/err"
    got=$?
    if [ "$got" != "$status" ]; then
        complain "'$ran' ended with status $got, not $status"
        cat "$work/out" "$work/err"
    fi
}

# prints TEXT, says TEXT: the last command's standard output, standard error, has TEXT in it
prints() { grep -qF -- "$1" "$work/out" || complain "'$ran' did not print '$1' but: $(head -c 2000 "$work/out")"; }
says() { grep -qF -- "$1" "$work/err" || complain "'$ran' did not say '$1' but: $(head -c 2000 "$work/err")"; }
says_lines() { [ "$(wc -l <"$work/err")" = "$1" ] || complain "'$ran' did not say $1 line(s) but: $(cat "$work/err")"; }
# counts N TEXT: that many lines of both outputs have TEXT in them
counts() {
    local n
    n=$(cat "$work/out" "$work/err" | grep -cF -- "$2")
    [ "$n" = "$1" ] || complain "'$ran': $n lines with '$2', not $1: $(cat "$work/out" "$work/err")"
}

# metrics RUN: its metrics.jsonl without what depends on time
metrics() { sed -E 's/"(seconds[a-z_]*|images_per_s|peak_bytes|ranks)": [^,}]*[,}]//g' "$1/metrics.jsonl"; }

# wait_for COMMAND ...: until it succeeds; up to 60 s
wait_for() {
    for _ in $(seq 600); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    complain "waited in vain for: $*; output so far: $(tail -n 20 "$work"/out "$work"/err "$work"/*.out "$work"/*.err 2>/dev/null)"
}

finish() {
    [ "$failures" = 0 ] && exit 0
    echo "$failures failed"
    exit 1
}
