#!/bin/bash
# Removes files that Open MPI jobs of this user left behind on this node when they were killed: shared memory
# (/dev/shm/vader_segment.*) that no process maps and session folders (/tmp/ompi.*) that no process lives in.
set -u

mine=(-maxdepth 1 -user "$(id -un)")

# Segments that are not mapped, one path a line.
unused_segments() {
    find /dev/shm "${mine[@]}" -name 'vader_segment.*' -print 2>/dev/null | sort >"$list"
    [ -s "$list" ] || return 0
    cat /proc/[0-9]*/maps 2>/dev/null | grep -o '/dev/shm/vader_segment\.[^ ]*' | sort -u | comm -23 "$list" -
}

# Session folders are ompi.HOST.UID/pid.PID of the launcher; those of srun are named after the job (jf.N).
remove_sessions() {
    local folder
    for folder in "${TMPDIR:-/tmp}"/ompi.*."$(id -u)"/pid.*; do
        [ -d "$folder" ] && ! kill -0 "${folder##*/pid.}" 2>/dev/null && rm -rf "$folder"
    done
    rmdir "${TMPDIR:-/tmp}"/ompi.*."$(id -u)" 2>/dev/null
    return 0
}

list=$(mktemp) || exit 1
trap 'rm -f "$list" "$list.first"' EXIT
unused_segments >"$list.first"
if [ -s "$list.first" ]; then
    # a job that starts just now makes a file before it maps it: only what is unused at two looks goes
    sleep 1
    unused_segments | comm -12 "$list.first" - | xargs -r -d '\n' rm -f
fi
remove_sessions
