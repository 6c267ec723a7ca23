#!/bin/bash
# The command line frame: help, versions, unknown commands and options, exit statuses; without mpirun and MPI.
. "$(dirname "$0")/../support/shell.sh"

expect 2 "$iddpm"
says "usage: iddpm COMMAND"
expect 0 "$iddpm" --help
prints "usage: iddpm COMMAND"
prints "75 stopped on a signal"
says_lines 0
cp "$work/out" "$work/list"
expect 0 "$iddpm" help
cmp -s "$work/list" "$work/out" || complain "iddpm help and iddpm --help differ"

# every command has a help text of its own, in both spellings
for command in $(awk '/^  [ *] [a-z]/ {sub(/^  [ *] /, ""); print $1}' "$work/list"); do
    expect 0 "$iddpm" "$command" --help
    prints "usage: iddpm $command"
    cp "$work/out" "$work/one"
    expect 0 "$iddpm" help "$command"
    cmp -s "$work/one" "$work/out" || complain "iddpm help $command and iddpm $command --help differ"
    expect 2 "$iddpm" "$command" --no-such-option
    counts 1 "$command: unknown option --no-such-option; nearest is --"
done

expect 0 "$iddpm" train --help
prints '`iddpm help config`'

expect 0 "$iddpm" --version
for name in "iddpm " "MPI " HDF5 OpenBLAS libyaml zlib libpng libjpeg kernels; do prints "$name"; done
expect 0 env IDDPM_ISA=portable "$iddpm" --version
prints "kernels    portable"
expect 2 env IDDPM_ISA=mmx "$iddpm" --version
says "instruction set 'mmx' cannot run here"

expect 2 "$iddpm" hepl
says "hepl: unknown command; nearest is help"
says_lines 1
expect 2 "$iddpm" help --mardown
says "help: unknown option --mardown; nearest is --markdown"
expect 2 "$iddpm" help config --markdown=yes
says "help: --markdown takes no value"
expect 2 "$iddpm" help -m
says "unknown option --m"
expect 2 "$iddpm" help --markdown
says "--markdown is for"
expect 2 "$iddpm" help config more
says "'more' is one argument too many"
expect 0 "$iddpm" help -- config
prints "train:"
expect 2 env OMP_NUM_THREADS=none "$iddpm" help
says "OMP_NUM_THREADS: found 'none'"
expect 0 env OMP_NUM_THREADS=2,1 "$iddpm" help
expect 1 sh -c '"$1" help >/dev/full' sh "$iddpm"
says "standard output could not be written"

# the quick start ends with the status of the step that failed; a program that only says what it was asked stands in
mkdir -p "$work/quick/jobs" "$work/quick/build"
cp "$here/jobs/quickstart.sh" "$work/quick/jobs"
echo 'PACKAGES_PROGRAM=; packages_need() { :; }' >"$work/quick/jobs/packages.sh"
echo 'build() { :; }' >"$work/quick/jobs/build.sh"
echo 'launch() { "$@"; }' >"$work/quick/jobs/launch.sh"
printf '#!/bin/sh\necho "asked: $1"\n[ "$1" != "$FAILING" ] || exit "$STATUS"\n' >"$work/quick/build/iddpm"
chmod +x "$work/quick/build/iddpm"
mkdir -p "$work/quick/runs/digits/checkpoints"
for status in 1 75; do
    expect $status env FAILING=nll STATUS=$status "$work/quick/jobs/quickstart.sh"
    prints "asked: nll"
    counts 0 "asked: sample"
    [ ! -e "$work/quick/runs/digits/nll.txt" ] || complain "a failed nll left a result"
done
expect 0 env FAILING=none STATUS=0 "$work/quick/jobs/quickstart.sh"
counts 1 "asked: sample"

# on ranks: the status is the program's, an error is printed once
for ranks in 1 2; do
    expect 2 mpirun -n $ranks "$iddpm" train --no-such-option
    counts 1 "iddpm: train: unknown option --no-such-option"
    expect 2 mpirun -n $ranks "$iddpm" train "$here/jobs/configs/digits.yaml" lr=fast
    counts 1 "train.lr=fast on the command line: found 'fast'"
done
expect 2 mpirun -n 2 env IDDPM_ISA=mmx "$iddpm" train "$here/jobs/configs/digits.yaml"
counts 1 "instruction set 'mmx' cannot run here"
finish
