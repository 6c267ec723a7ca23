#!/bin/bash
# Held-out losses, bits/dim and grids of samples while training: what they are, and what is left of them after kills.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

rows() { cut -d, -f1-8 "$1/eval.csv"; } # all but the seconds
hooks="eval_interval=2 eval_num=10 eval_strata=5 sample_interval=2 sample_num=5 sample_steps=6"

# The same as by commands on the checkpoints of these steps.
expect 0 ranks 2 train tiny.yaml run.dir=hooks total_steps=5 $hooks
counts 1 "step 5, held-out images: params "
counts 1 "step 4: 5 samples in hooks/samples"
[ "$(cut -d, -f1,2 hooks/eval.csv | tr '\n' ' ')" = "step,weights 2,params 2,ema/0.5 2,ema/0.9 4,params 4,ema/0.5 \
4,ema/0.9 5,params 5,ema/0.5 5,ema/0.9 " ] || complain "eval.csv: $(cat hooks/eval.csv)"
[ "$(cd hooks/samples && echo *)" = "step-00000002-ema-0.5.png step-00000002-params.png step-00000004-ema-0.5.png \
step-00000004-params.png step-00000005-ema-0.5.png step-00000005-params.png" ] || complain "grids: $(ls hooks/samples)"
same_bits_per_dim() { # RUN STEP,WEIGHTS: what `iddpm nll` measures and the row of eval.csv
    expect 0 "$iddpm" nll "$1" --step "${2%,*}" --weights "${2#*,}" --num 10 --strata 5 --batch 8 --out nll.h5
    expect 0 h5dump -m %.12g -a bits_per_dim nll.h5
    awk -F, -v at="$2," -v there="$(grep -o '(0): .*' "$work/out" | cut -c6-)" '
        index($0, at) == 1 { n++; d = $7 - there; if (d * d > 1e-16 || $7 <= 0) exit 1 } END { exit n != 1 }' \
        "$1/eval.csv" || complain "nll of $1, $2: $(cat "$work/out"), eval.csv: $(cat "$1/eval.csv")"
    rm nll.h5
}
same_bits_per_dim hooks 2,params
same_bits_per_dim hooks 5,ema/0.9
expect 0 "$iddpm" sample hooks --step 4 --weights ema/0.5 --num 5 --steps 6 --batch 8 --out same.png
expect 0 cmp same.png hooks/samples/step-00000004-ema-0.5.png

# A super-resolution network is measured on what it enlarges, and enlarges the first held-out images.
expect 0 ranks 2 train tiny.yaml run.dir=large total_steps=2 large_size=8 small_size=4 $hooks
same_bits_per_dim large 2,params
[ -s large/samples/step-00000002-params.png ] || complain "no grid: $(ls large/samples)"

# Finished, nothing is made twice; asked for later, the last step's results are made.
rows hooks >before
expect 0 "$iddpm" train hooks
expect 0 diff before <(rows hooks)
expect 0 "$iddpm" train run eval_interval=3 eval_num=10 eval_strata=5
[ "$(rows run | grep -c '^4,')" = 3 ] || complain "of a finished run: $(cat run/eval.csv)"

# Stopped or killed in a hook: that step is not lost, its results are made first of all, and everything is as if nothing
# had been.
long="total_steps=6 save_interval=3 eval_interval=3 eval_num=10 eval_strata=5 sample_interval=3 sample_num=56 sample_steps=20"
expect 0 "$iddpm" train tiny.yaml run.dir=straight $long
for signal in USR1 KILL; do
    if [ $signal = USR1 ]; then # the samples come behind this line
        stops USR1 "step 3, held-out images" mpirun --oversubscribe -n 2 "$iddpm" train tiny.yaml run.dir=USR1 $long
        says "at step 3 of 6 with everything saved"
    else
        "$iddpm" train tiny.yaml run.dir=KILL $long >out 2>err &
        wait_for grep -q 'step 3, held-out images' out
        kill -KILL $!
        wait $! 2>/dev/null
    fi
    [ -z "$(find $signal/samples -name '*ema*' 2>/dev/null)" ] || complain "SIG$signal came too late: $(ls $signal/samples)"
    rm -f $signal/owner # nobody is waited for
    printf '5,params,10,1,1,1,1,1,1\n6,par' >>$signal/eval.csv
    mkdir -p $signal/samples
    cp same.png $signal/samples/step-00000005-params.png
    touch $signal/samples/step-0000000{5,6}-params.yaml # of `iddpm sample`, which knows its pictures by them
    cp same.png $signal/samples/step-00000005-7.png     # stays
    expect 0 "$iddpm" train tiny.yaml run.dir=$signal $long
    prints "continuing from $signal/checkpoints/step-00000003.h5"
    expect 0 diff <(rows straight) <(rows $signal)
    rm $signal/samples/step-00000005-7.png
    expect 0 diff -r straight/samples $signal/samples
    for group in params ema optimizer; do
        expect 0 h5diff straight/checkpoints/step-00000006.h5 $signal/checkpoints/step-00000006.h5 /$group
    done
done

# What they need is looked for before training.
expect 0 "$iddpm" sample hooks --num 8 --steps 2 --npz --out few.png
expect 0 "$iddpm" import npz few.npz few
refused() { # TEXT key=value ...
    local text=$1
    shift
    expect 2 "$iddpm" train tiny.yaml run.dir=refused "$@"
    counts 1 "$text"
    [ ! -e refused ] || complain "a refused run left a folder: $(ls refused)"
}
refused "data.eval_path= on the command line: not set: train.eval_interval needs" eval_interval=1 eval_path=
refused "train.eval_num: is 64, but few has only 8 images" eval_interval=1 eval_path=few
refused "few has images without a label" eval_interval=1 eval_path=few class_cond=true
refused "section 1 of 1 has 20 of the 20 steps" sample_interval=1 sample_steps=21
expect 1 "$iddpm" train tiny.yaml run.dir=refused eval_interval=1 eval_path=nowhere
says nowhere
finish
