# A run has one owner: a second job is refused, a restarted one takes over and the former ends without another write, what
# a killed one left behind stands in nobody's way.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"
echo "store: {max_failures: 16777216}" >>tiny.yaml # steps are quicker here than a fault ends

# begin NAME DIR COMMAND ...: an endless run in DIR by COMMAND in the background, with output in NAME.out and NAME.err,
# which writes every $interval steps; sets pid and returns once it has saved
interval=10
begin() {
    local name=$1 dir=$2
    shift 2
    "$@" "$iddpm" train tiny.yaml run.dir="$dir" total_steps=1000000 save_interval=$interval log_interval=$interval \
        >"$name.out" 2>"$name.err" &
    pid=$!
    wait_for grep -q "^saved" "$name.out"
}
ends() { # STATUS PID: within a minute, on a machine however busy
    timeout 60 tail --pid="$2" -f /dev/null || complain "process $2 still runs"
    wait "$2"
    local status=$?
    [ "$status" = "$1" ] || complain "status $status, not $1: $(cat ./*.out ./*.err)"
}
stops_well() { # PID
    kill -USR1 "$1"
    ends 75 "$1"
}
owner_says() { sed -n "s/^$2: //p" "$1/owner"; }
said() { # FILE TEXT: once
    [ "$(grep -c "$2" "$1")" = 1 ] || complain "$1 does not say once '$2': $(cat "$1")"
}
ended_as() { # FILE TEXT: the error, once; a warning of it may stand before, when it was noticed behind a checkpoint
    [ "$(grep -c "^iddpm: rank 0 on .*$2" "$1")" = 1 ] || complain "$1 does not say once '$2': $(cat "$1")"
}

# A second job, alone or on ranks, is refused; the first does not notice.
begin first busy env
expect 2 "$iddpm" train busy
says "busy is being trained by process $(owner_says busy pid) on $(hostname)"
says "(kill $(owner_says busy pid) there)"
expect 2 ranks 2 train tiny.yaml run.dir=busy
counts 1 "is being trained by"
stops_well $pid
[ ! -e busy/owner ] || complain "a run that ended has an owner"
expect 0 "$iddpm" verify busy

# Its owner file cannot be read for a while: nothing is written meanwhile, and training goes on.
begin unread unread env
ln unread/owner kept
ln -s owner loop
mv -T loop unread/owner # at no moment is there no file
wait_for grep -q "warning: no checkpoint at step .*unread/owner: cannot open" unread.err
saved=$(grep -c "^saved" unread.out)
mv -T kept unread/owner
wait_for eval '[ "$(grep -c "^saved" unread.out)" -gt "$saved" ]'
stops_well $pid
expect 0 "$iddpm" verify unread

# Killed, and started again at once.
begin killed busy env
kill -9 $pid
wait $pid 2>/dev/null
[ -e busy/owner ] || complain "a killed run left no owner"
begin killed busy env
said killed.err "busy: taken over from process .*: its process has ended"
stops_well $pid

# The same job, restarted, while its former processes live on: they end, and write nothing more.
begin former again mpirun --oversubscribe -n 2 env SLURM_JOB_ID=12 SLURM_CLUSTER_NAME=c SLURM_RESTART_COUNT=1
former=$pid
[ "$(owner_says again job) $(owner_says again restarts)" = "12 1" ] || complain "owner: $(cat again/owner)"
expect 1 env SLURM_JOB_ID=12 SLURM_CLUSTER_NAME=c "$iddpm" train again
says "taken over by job 12 (restart 1), process"
begin later again env SLURM_JOB_ID=12 SLURM_CLUSTER_NAME=c SLURM_RESTART_COUNT=2
ends 1 $former
ended_as former.err "again was taken over by job 12 (restart 2), .*writes nothing more"
said later.err "again: taken over from job 12 (restart 1), .*restarted since"
stops_well $pid
expect 0 "$iddpm" verify again

# Superseded by one that writes nothing: no file changes any more. It has just written, and will not so soon again: what
# asked before the change and wrote after it would look like a writer that did not ask.
interval=500
begin lost lost mpirun --oversubscribe -n 2
sed -i 's/^token: .*/token: 0123456789abcdef/; s/^host: .*/host: n7/' lost/owner
touch mark
ends 1 $pid
ended_as lost.err "lost was taken over by process .* on n7, .*writes nothing more"
changed=$(find lost -type f -newer mark ! -name log.txt)
[ -z "$changed" ] || complain "written by a run that was taken over: $changed"
grep -q '^host: n7' lost/owner || complain "the owner file of another was removed"
expect 0 "$iddpm" verify lost
left=$(find . -name '*.tmp' -o -name owner.lock)
[ -z "$left" ] || complain "left behind: $left"
finish
