#!/bin/bash
# Builds into build/ and runs tests:
#   tests/run.sh                     unit, reference, mpi and cli, some minutes
#   tests/run.sh -L slurm -L long    these labels instead
#   tests/run.sh -L authors          beside the authors' own code: IDDPM_AUTHORS is a checkout of openai/improved-diffusion
#   tests/run.sh -L aarch64          the numeric rooms' unit tests for aarch64, under qemu-user (Debian)
# Reference values other than the carried ones: IDDPM_REFERENCE=FOLDER tests/run.sh -L reference
set -euo pipefail
# tests run in other folders
[ -z "${IDDPM_REFERENCE:-}" ] || IDDPM_REFERENCE=$(realpath "$IDDPM_REFERENCE")
[ -z "${IDDPM_AUTHORS:-}" ] || IDDPM_AUTHORS=$(realpath "$IDDPM_AUTHORS")
cd "$(dirname "$0")/.."
. jobs/packages.sh
. jobs/build.sh

labels=()
while getopts L: option; do
    case $option in
    L) labels+=($OPTARG) ;;
    *) sed -n '2,7p' "$0" >&2 && exit 2 ;;
    esac
done
[ ${#labels[@]} -gt 0 ] || labels=(unit reference mpi cli)

packages=$PACKAGES_TESTS
[[ " ${labels[*]} " != *" slurm "* ]] || packages+=" $PACKAGES_SLURM"
packages_need $PACKAGES_PROGRAM $packages
[[ " ${labels[*]} " != *" aarch64 "* ]] || packages_need_aarch64

build build all -DCMAKE_BUILD_TYPE=Release -DIDDPM_WERROR=ON -DIDDPM_TESTS=ON

wanted=$(IFS='|' && echo "${labels[*]}")
exec ctest --test-dir build --output-on-failure --no-tests=error --parallel "$(nproc)" -L "^($wanted)\$"
