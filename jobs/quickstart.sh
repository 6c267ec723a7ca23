#!/bin/bash
# From a fresh machine to bits/dim: installs packages (Debian, as root), builds, imports the built-in digits, trains on two
# MPI ranks, measures held-out digits and draws pictures. Called again it does only what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
. jobs/packages.sh
. jobs/build.sh
. jobs/launch.sh

packages_need $PACKAGES_PROGRAM
echo "building build/iddpm"
build build iddpm -DCMAKE_BUILD_TYPE=Release -DIDDPM_TESTS=OFF

iddpm=build/iddpm
run=runs/digits
export RANKS=2
[ -e data/digits/index.json ] || $iddpm import digits data/digits
[ -e data/digits-test/index.json ] || $iddpm import digits data/digits-test --split test

step() { # COMMAND...: on the ranks; a signal's 75 ends the script with everything saved
    local status=0
    launch $iddpm "$@" || status=$?
    [ $status -ne 75 ] || echo "stopped with everything saved; call $0 again to continue"
    return $status
}
step train jobs/configs/digits.yaml eval_interval=500 eval_num=32 sample_interval=500

newer_than_run() { # FILE
    [ -e "$1" ] && [ -z "$(find $run/checkpoints -name 'step-*.h5' -newer "$1")" ]
}
if ! newer_than_run $run/nll.txt; then
    step nll $run | tee -i $run/nll.part
    mv $run/nll.part $run/nll.txt
fi
if ! newer_than_run $run/samples.png; then
    step sample $run --num 64 --out $run/samples.png
fi
$iddpm plot $run

echo
echo "held-out digits: $(tail -n 1 $run/nll.txt)"
echo "pictures:        $run/samples.png $run/loss.png $run/vb-terms.png"
