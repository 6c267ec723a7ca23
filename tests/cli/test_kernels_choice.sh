#!/bin/bash
# The kernels of convolutions where a run measures them: kept with the run, taken from there, said when damaged.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"

shapes() { grep -c ' to .*: ' "$1/kernels.txt"; }

# a reproducible run measures nothing
[ ! -e run/kernels.txt ] || complain "a reproducible run has measured its kernels"

# one line for each shape, the same for all ranks
expect 0 ranks 2 train tiny.yaml run.dir=measured parallel.reduction=mpi_allreduce
prints "convolution shapes measured"
head -1 measured/kernels.txt | grep -q '^instruction set ' || complain "kernels.txt: $(cat measured/kernels.txt)"
[ "$(shapes measured)" -ge 4 ] || complain "kernels.txt has few shapes: $(cat measured/kernels.txt)"

# a continuation takes them from there
cp measured/kernels.txt before.txt
expect 0 ranks 2 train measured train.total_steps=6
counts 0 "measured in"
cmp before.txt measured/kernels.txt || complain "a continuation has changed kernels.txt"

# what stands in the file is what is computed with
for algorithm in direct winograd; do
    tiny_run $algorithm parallel.reduction=mpi_allreduce parallel.kernels=$algorithm
    mkdir "kept-$algorithm"
    sed "s/: .*/: ${algorithm/winograd/winograd4}/" before.txt >"kept-$algorithm/kernels.txt"
    tiny_run "kept-$algorithm" parallel.reduction=mpi_allreduce
    [ "$(metrics $algorithm)" = "$(metrics "kept-$algorithm")" ] ||
        complain "kernels.txt says $algorithm, but losses differ from those of parallel.kernels=$algorithm"
done
[ "$(metrics direct)" != "$(metrics winograd)" ] || complain "the algorithms make no difference: nothing was tested"

# another instruction set: again
sed -i '1s/.*/instruction set other/' measured/kernels.txt
expect 0 ranks 2 train measured train.total_steps=7
says "was measured with instruction set 'other': measured again"
head -1 measured/kernels.txt | grep -q other && complain "kernels.txt was not replaced"

# a file that cannot be read
echo "8x8 32 to" >>measured/kernels.txt
expect 1 ranks 2 train measured train.total_steps=8
says "measured/kernels.txt: cannot be read: '8x8 32 to'; remove it, and the kernels will be measured again"
counts 1 "cannot be read"

# a run from before there was a choice goes on with what it had
tiny_run old parallel.kernels=direct total_steps=2
sed -i '/kernels:/d' old/config.yaml
expect 2 "$iddpm" train tiny.yaml run.dir=old
says "parallel.kernels: auto here, direct there"
expect 0 "$iddpm" train old train.total_steps=4
grep -q 'kernels: direct' old/config.yaml || complain "an old run goes on with $(grep kernels old/config.yaml)"
tiny_run direct-4 parallel.kernels=direct total_steps=4
[ "$(metrics old)" = "$(metrics direct-4)" ] || complain "an old run does not go on with direct kernels"
finish
