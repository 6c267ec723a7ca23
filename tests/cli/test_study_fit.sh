#!/bin/bash
# Collecting and fitting from the command line, of a run that was trained and measured by hand.
. "$(dirname "$0")/../support/shell.sh"
cd "$work" || exit 1

cp "$here/jobs/configs/digits.yaml" .
cat >s.yaml <<END
study: s
base: digits.yaml
set: {num_channels: 32, channel_mult: "1", num_res_blocks: 1, attention_resolutions: "8", diffusion_steps: 24, batch_size: 8, log_interval: 1}
seeds: [0, 1]
budget: {steps: 4}
evaluate:
  - {nll: curve, data: data/digits-test, images: 4}
END
expect 2 "$iddpm" study collect
expect 2 "$iddpm" study collect s.yaml
says "study submit"
expect 2 "$iddpm" study fit s.yaml
says "iddpm study collect"
expect 2 "$iddpm" study fit s.yaml --budget=-1
expect 0 "$iddpm" study fit --help
prints "--l-inf X"

expect 0 "$iddpm" import digits data/digits
run=s/points/seed-0
expect 0 "$iddpm" train digits.yaml run.dir=$run num_channels=32 channel_mult=1 num_res_blocks=1 \
    attention_resolutions=8 diffusion_steps=24 batch_size=8 log_interval=1 total_steps=4
mkdir -p $run/nll/curve
expect 0 "$iddpm" nll $run --data data/digits --num 4 --out $run/nll/curve/step-00000004.h5
expect 0 "$iddpm" study collect s.yaml
prints "s/results.csv: 1 rows, 1 of them new"
[ "$(wc -l <s/results.csv)" = 2 ] || complain "results.csv: $(cat s/results.csv)"
[ "$(wc -l <s/metrics.csv)" = 5 ] || complain "metrics.csv: $(cat s/metrics.csv)"
grep -q "^seed-0,curve,4,32," s/results.csv || complain "results.csv: $(cat s/results.csv)"
expect 0 "$iddpm" study collect s.yaml
prints "s/results.csv: 1 rows, 0 of them new"
expect 0 "$iddpm" study fit s.yaml
prints "no fit: 1 points are too few: at least 4 are needed"
grep -q "^curve,bits_per_dim,all,1,0," s/fits.csv || complain "fits.csv: $(cat s/fits.csv)"
if command -v gnuplot >/dev/null; then expect 0 "$iddpm" study figures s.yaml; fi
echo damaged >$run/nll/curve/step-00000004.h5
expect 0 "$iddpm" study collect s.yaml
says "step-00000004.h5"
prints "0 rows"
[ -z "$(find s -name '*.tmp*')" ] || complain "left behind: $(find s -name '*.tmp*')"
finish
