# What sample, nll and features do with models beyond running one: guidance, ensembles, blocks; names, records, refusals.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

refuse() { # STATUS TEXT ARGUMENT ...
    local status=$1 text=$2
    shift 2
    expect "$status" "$iddpm" "$@"
    says "$text"
    says_lines 1
}
attributes() { # FILE NAME=VALUE ...: as h5dump prints them
    local file=$1 pair
    shift
    expect 0 h5dump -A "$file"
    tr -s '\n ' ' ' <"$work/out" | sed 's/ATTRIBUTE/\n&/g' >attributes
    for pair in "$@"; do
        grep -q "^ATTRIBUTE \"${pair%%=*}\" .*(0): ${pair#*=} }" attributes || complain "$file: no attribute $pair"
    done
}

# Guidance, and an ensemble with it: names and records say so; a scale of 1 is none.
tiny_run classes class_cond=true label_dropout=0.3 total_steps=2
tiny_run other class_cond=true label_dropout=0.3 total_steps=2 seed=7 rescale_timesteps=false
expect 0 "$iddpm" sample classes --num 5 --steps 4 --npz --out plain.png
expect 0 "$iddpm" sample classes --num 5 --steps 4 --npz --out one.png --guidance 1
expect 0 cmp plain.npz one.npz
expect 0 "$iddpm" sample classes --num 5 --steps 4 --npz --guidance 3 --ends other --ends-steps 5,15
prints "timesteps under 5 and from 15 on: ema/0.5 of other, step 2"
made=$(echo classes/samples/*-4-num5-guidance3-ends-????????-5-15.npz)
! cmp -s plain.npz "$made" || complain "$made has no guidance"
for line in 'guidance: 3' 'ends_checkpoint: "other/checkpoints/step-00000002.h5"' 'ends_below: 5' 'ends_from: 15'; do
    grep -qx "$line" "${made%.npz}.yaml" || complain "no '$line' in ${made%.npz}.yaml: $(cat "${made%.npz}.yaml")"
done
refuse 2 "cannot be guided: it was never trained without classes" sample run --guidance 2

expect 0 "$iddpm" nll classes --ends other/checkpoints/step-00000002.h5 --ends-steps 5,15 --num 2 --respacing 4
attributes classes/nll/step-00000002-ema-0.5-held-out-4-num2-ends-????????-5-15.h5 ends_step=2 'ends_weights="ema/0.5"' \
    'ends_checkpoint="other/checkpoints/step-00000002.h5"' ends_below=5 ends_from=15
refuse 2 "give --ends as well" nll run --ends-steps 5,15
refuse 2 "the first and the last 100 of 20 timesteps are all of them" nll classes --ends other
refuse 2 "--ends-steps: found '15'" nll classes --ends other --ends-steps 15
refuse 2 "model.num_classes is 0 in one and 10 in the other" nll run --ends classes --ends-steps 5,15

# Features: the same file for any number of ranks.
expect 0 "$iddpm" features run --timestep 7 --num 7 --batch 2
result=run/features/step-00000004-ema-0.5-held-out-t7-num7.h5
prints "features of held-out under run, ema/0.5 of step 4, timestep 7"
prints "wrote $result"
expect 0 ranks 2 features run --timestep 7 --num 7 --batch 2 --out made/on2.h5
expect 0 cmp "$result" made/on2.h5
expect 0 h5ls "$result"
for name in input_blocks.0 input_blocks.1 middle_block output_blocks.0 output_blocks.1; do
    grep -qE "^$name +Dataset \{7, 8, 8, 32\}$" "$work/out" || complain "no $name: $(cat "$work/out")"
done
prints "labels                   Dataset {7}"
attributes "$result" 'layout="\[images\]\[height\]\[width\]\[channels\]"' timestep=7 'data="held-out"' \
    'weights="ema/0.5"'
expect 0 "$iddpm" features run --timestep 1 --respacing 2 --data digits --num 3 --blocks 'middle_block,output_blocks.*' --pool
prints "wrote run/features/step-00000004-ema-0.5-digits-t1-2-num3-middle_block,output_blocks.--pool.h5"
expect 0 h5ls run/features/step-00000004-ema-0.5-digits-t1-2-num3-*.h5
counts 4 Dataset
prints "{3, 32}"
attributes run/features/step-00000004-ema-0.5-digits-t1-2-num3-*.h5 original_timestep=19

refuse 2 "Give --timestep T" features run
refuse 2 "--timestep: found '-1'" features run --timestep -1
refuse 2 'no block is "middle"' features run --timestep 0 --blocks middle
stops TERM "features of digits" "$iddpm" features run --timestep 0 --data digits --batch 1 --out stopped.h5
[ ! -e stopped.h5 ] || complain "a stopped job has written its result"
[ -z "$(find . -name '*.tmp*')" ] || complain "left behind: $(find . -name '*.tmp*')"
finish
