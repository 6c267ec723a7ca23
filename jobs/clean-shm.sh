#!/bin/bash
# Removes what Open MPI jobs of this user left on this node when they were killed: shared memory that no process maps
# (/dev/shm/vader_segment.*) and session folders whose launcher is gone (/tmp/ompi.*).
set -u

mine=(-maxdepth 1 -user "$(id -un)")

# Segments that are not mapped, one path a line.
unused_segments() {
    find /dev/shm "${mine[@]}" -name 'vader_segment.*' -print 2>/dev/null | sort >"$list"
    [ -s "$list" ] || return 0
    cat /proc/[0-9]*/maps 2>/dev/null | grep -o '/dev/shm/vader_segment\.[^ ]*' | sort -u | comm -23 "$list" -
}

remove_sessions() { # ompi.HOST.UID/pid.PID, after the launcher
    local folder
    for folder in "${TMPDIR:-/tmp}/ompi.$(hostname -s).$(id -u)"/pid.*; do
        [ -d "$folder" ] && ! kill -0 "${folder##*/pid.}" 2>/dev/null && rm -rf "$folder"
    done
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
