#!/bin/bash
# A real Slurm cluster of virtual nodes on this one machine, for testing job scripts; needs root.
#   local-cluster.sh start [NODES]   (default 2 nodes of 2 CPUs each)   stop   status
#   local-cluster.sh node-down NODE    as a power cut does        slurmd-down NODE    its slurmd alone        node-up NODE
# Everything lives in $SLURM_LOCAL_DIR (default /tmp/slurm-local); its ports begin at $SLURM_LOCAL_PORT (default 16817).
# After start:  export SLURM_CONF=$SLURM_LOCAL_DIR/slurm.conf   then sinfo, sbatch, srun as usual.
# Two partitions: main, and urgent, whose jobs preempt those of main. Only what it started is stopped.
set -eu
. "$(dirname "${BASH_SOURCE[0]}")/../../jobs/packages.sh"
dir=${SLURM_LOCAL_DIR:-/tmp/slurm-local}
port=${SLURM_LOCAL_PORT:-16817}
conf=$dir/slurm.conf
export SLURM_CONF=$conf

alive() { # NAME of a daemon
    [ -s "$dir/$1.pid" ] && kill -0 "$(cat "$dir/$1.pid")" 2>/dev/null
}

end() { # NAME: ends one daemon by its pid file and waits for it
    local pid
    if alive "$1"; then
        pid=$(cat "$dir/$1.pid")
        kill "$pid"
        for _ in $(seq 10); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.3
        done
        kill -9 "$pid" 2>/dev/null || true
    fi
    rm -f "$dir/$1.pid"
}

start_munged() { # own socket and key: a munged of the system is neither needed nor disturbed
    mkdir -p "$dir/munge"
    head -c 1024 /dev/urandom >"$dir/munge/key"
    chown -R munge: "$dir/munge"
    chmod 755 "$dir/munge"
    chmod 400 "$dir/munge/key"
    setpriv --reuid=munge --regid=munge --clear-groups munged --force --key-file="$dir/munge/key" \
        --socket="$dir/munge/socket" --pid-file="$dir/munge/munged.pid" --log-file="$dir/munge/munged.log" \
        --seed-file="$dir/munge/seed"
    cp "$dir/munge/munged.pid" "$dir/munged.pid"
}

write_conf() { # NODES
    local host i partition
    host=$(hostname -s)
    cat >"$conf" <<CONF
ClusterName=local
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=10
CryptoType=crypto/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool-%n
TmpFS=$dir/tmp-%n
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd-%n.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=pmix
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp.log
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
MinJobAge=600
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,sched_interval=2
CONF
    for ((i = 1; i <= $1; i++)); do
        echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=2 Boards=1 SocketsPerBoard=1" \
            "CoresPerSocket=2 ThreadsPerCore=1 RealMemory=8000 State=UNKNOWN"
    done >>"$conf"
    partition="Nodes=n[1-$1] MaxTime=UNLIMITED OverSubscribe=NO"
    cat >>"$conf" <<CONF
PartitionName=main $partition Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=12
PartitionName=urgent $partition PriorityTier=2 PreemptMode=OFF
CONF
    echo 'CgroupPlugin=cgroup/v1' >"$dir/cgroup.conf"
}

start() { # NODES
    local i
    [ "$1" -ge 1 ] && [ "$1" -le 16 ] || { echo "NODES must be 1 to 16" >&2; exit 1; }
    packages_need $PACKAGES_SLURM
    stop
    mkdir -p "$dir/state"
    chmod 755 "$dir"
    start_munged
    write_conf "$1"
    slurmctld -c -f "$conf"
    for ((i = 1; i <= $1; i++)); do
        mkdir -p "$dir/spool-n$i" "$dir/tmp-n$i"
        slurmd -N "n$i" -f "$conf"
    done
    for _ in $(seq 40); do
        if [ "$(sinfo -h -t idle -o %D 2>/dev/null | head -n 1)" = "$1" ]; then
            sinfo
            echo "export SLURM_CONF=$conf"
            return 0
        fi
        sleep 0.5
    done
    sinfo || true
    echo "the nodes did not come up: see $dir/*.log" >&2
    exit 1
}

stop() {
    local file
    [ -d "$dir" ] || return 0
    if alive slurmctld; then # running steps first: their slurmstepd would outlive the daemons
        squeue -h -o %A 2>/dev/null | xargs -r scancel --quiet 2>/dev/null || true
        for _ in $(seq 15); do
            [ -n "$(squeue -h -t RUNNING,COMPLETING 2>/dev/null)" ] || break
            sleep 1
        done
    fi
    for file in "$dir"/slurmd-*.pid; do
        [ -e "$file" ] || continue
        file=${file##*/}
        end "${file%.pid}"
    done
    end slurmctld
    end munged
    rm -rf "$dir/state" "$dir"/spool-* "$dir"/tmp-*
}

slurmd_down() { # NODE: its steps go on
    [ -s "$dir/slurmd-$1.pid" ] || { echo "no node $1" >&2; exit 1; }
    kill -9 "$(cat "$dir/slurmd-$1.pid")"
    rm -f "$dir/slurmd-$1.pid"
}

node_down() { # NODE: ends its slurmd and every step of it
    local step child
    slurmd_down "$1"
    for step in $(pgrep slurmstepd); do
        for child in $(pgrep -P "$step"); do # a step's processes carry the names of node and cluster
            tr '\0' '\n' <"/proc/$child/environ" 2>/dev/null | grep -qx "SLURMD_NODENAME=$1" || continue
            tr '\0' '\n' <"/proc/$child/environ" 2>/dev/null | grep -qx "SLURM_CONF=$conf" || continue
            kill -9 "$step" "$child" 2>/dev/null || true
        done
    done
}

node_up() { # NODE: with nothing on its disk: what PMIx left in spool and /tmp would stop a step of the same number
    rm -rf "$dir/spool-$1" "$dir/tmp-$1"
    mkdir "$dir/spool-$1" "$dir/tmp-$1"
    slurmd -N "$1" -f "$conf"
}

case ${1:-} in
start) start "${2:-2}" ;;
stop) stop ;;
node-up) node_up "${2:?name the node, e.g. n2}" ;;
slurmd-down) slurmd_down "${2:?name the node, e.g. n2}" ;;
node-down) node_down "${2:?name the node, e.g. n2}" ;;
status) sinfo ;;
*)
    sed -n '2,7p' "$0" >&2
    exit 2
    ;;
esac
