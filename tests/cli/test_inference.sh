# What sample, nll and features do with models beyond running one: guidance, ensembles, blocks; names, records, refusals.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

same() { expect 0 cmp "$1" "$2"; }
differ() { cmp -s "$1" "$2" && complain "$1 and $2 are the same"; }
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

# Guidance. A scale of 1 is none.
tiny_run classes class_cond=true label_dropout=0.3 total_steps=2
draw() { expect 0 "$iddpm" sample classes --num 5 --steps 4 --npz --out "$@"; }
draw plain.png
draw one.png --guidance 1
same plain.npz one.npz
draw three.png --guidance 3
differ plain.npz three.npz
grep -qx 'guidance: 3' three.yaml || complain "three.yaml does not name the guidance: $(cat three.yaml)"
expect 0 ranks 2 sample classes --num 5 --steps 4 --batch 2 --npz --guidance 3 --out on2.png
expect 0 "$iddpm" sample classes --num 5 --steps 4 --batch 2 --npz --guidance 3
prints "wrote classes/samples/step-00000002-4-num5-guidance3.png"
same on2.npz classes/samples/step-00000002-4-num5-guidance3.npz
refuse 2 "cannot be guided: it was never trained without classes" sample run --guidance 2
refuse 2 "--guidance: found '-1'" sample run --guidance -1

# Ensembles: all timesteps the one's, all the other's, some of each.
tiny_run other seed=7 rescale_timesteps=false total_steps=2
draw() { expect 0 "$iddpm" sample "$1" --num 5 --steps 4 --npz --seed 3 --out "${@:2}"; }
draw run of-run.png
draw other of-other.png
draw run none.png --ends other --ends-steps 0,20
same none.npz of-run.npz
draw run all.png --ends other --ends-steps 20,20
same all.npz of-other.npz
draw run both.png --ends other --ends-steps 5,15
prints "timesteps under 5 and from 15 on: ema/0.5 of other, step 2"
differ both.npz none.npz
differ both.npz all.npz
measure() { expect 0 "$iddpm" nll "$1" --num 5 --respacing 4 --seed 3 --out "${@:2}"; }
measure run of-run.h5
measure other of-other.h5
measure run both.h5 --ends other --ends-steps 5,15
# Timesteps 19, 13, 6 and 0: the first and the last are the other's.
column() { h5dump -d /vb -s "0,$2" -c "5,$3" -w 20 "$1" | grep '^ *(' | sed 's/.*: //'; }
[ "$(column both.h5 1 2)" = "$(column of-run.h5 1 2)" ] || complain "inner terms are not the run's"
for term in 0 3; do
    [ "$(column both.h5 $term 1)" = "$(column of-other.h5 $term 1)" ] || complain "term $term is not the other's"
done
[ "$(column of-run.h5 0 1)" != "$(column of-other.h5 0 1)" ] || complain "the models are the same"
attributes both.h5 'ends_checkpoint="other/checkpoints/step-00000002.h5"' ends_step=2 'ends_weights="ema/0.5"' \
    ends_below=5 ends_from=15
grep -qx 'ends_checkpoint: "other/checkpoints/step-00000002.h5"' both.yaml || complain "both.yaml: $(cat both.yaml)"
expect 0 "$iddpm" nll run --ends other/checkpoints/step-00000002.h5 --ends-steps 5,15 --num 2 --strata 3
sed -n 's/^wrote //p' "$work/out" | grep -qE '^run/nll/step-00000004-ema-0.5-held-out-num2-strata3-ends-[0-9a-f]{8}-5-15.h5$' ||
    complain "the result's name does not tell the ensemble: $(cat "$work/out")"

# With --folder, what is there already counts only for the same ensemble.
again() { expect 0 "$iddpm" nll run --num 2 --respacing 2 --folder folder "$@"; }
again
again --ends other --ends-steps 5,15
counts 1 "wrote folder/step-00000004.h5"
again --ends other --ends-steps 5,15
counts 0 "wrote "
again --ends other --ends-steps 4,15
counts 1 "wrote folder/step-00000004.h5"
again
counts 1 "wrote folder/step-00000004.h5"

refuse 2 "give --ends as well" nll run --ends-steps 5,15
refuse 2 "the first and the last 100 of 20 timesteps are all of them" nll run --ends other
refuse 2 "--ends-steps: found '15'" nll run --ends other --ends-steps 15
refuse 2 "0 <= A <= B <= 20" nll run --ends other --ends-steps 15,21
refuse 2 "0 <= A <= B <= 20" nll run --ends other --ends-steps 15,5
refuse 2 "model.num_classes is 0 in one and 10 in the other" sample run --ends classes --ends-steps 5,15
tiny_run longer diffusion_steps=24 total_steps=2
refuse 2 "diffusion.diffusion_steps is 20 in one and 24 in the other" nll run --ends longer --ends-steps 5,15
refuse 2 "nowhere: no such run folder or checkpoint" nll run --ends nowhere --ends-steps 5,15

# Features: the same file for any number of ranks.
expect 0 "$iddpm" features run --timestep 7 --num 7 --batch 2
result=run/features/step-00000004-ema-0.5-held-out-t7-num7.h5
prints "features of held-out under run, ema/0.5 of step 4, timestep 7"
prints "wrote $result"
for n in 2 3; do
    expect 0 ranks "$n" features run --timestep 7 --num 7 --batch 2 --out made/on$n.h5
    same "$result" made/on$n.h5
done
expect 0 h5ls "$result"
for name in input_blocks.0 input_blocks.1 middle_block output_blocks.0 output_blocks.1; do
    grep -qE "^$name +Dataset \{7, 8, 8, 32\}$" "$work/out" || complain "no $name: $(cat "$work/out")"
done
prints "labels                   Dataset {7}"
attributes "$result" 'layout="\[images\]\[height\]\[width\]\[channels\]"' timestep=7 'data="held-out"' \
    'weights="ema/0.5"'
expect 0 "$iddpm" features run --timestep 1 --respacing 2 --data digits --num 3 --blocks 'middle_block,output_blocks.*' --pool
prints "wrote run/features/step-00000004-ema-0.5-digits-t1-2-num3-middle_block,output_blocks.*-pool.h5"
expect 0 h5ls run/features/step-00000004-ema-0.5-digits-t1-2-num3-*.h5
counts 4 Dataset
prints "{3, 32}"
attributes run/features/step-00000004-ema-0.5-digits-t1-2-num3-*.h5 original_timestep=19

refuse 2 "Give --timestep T" features run
refuse 2 "timestep 20: those of this model are 0 to 19" features run --timestep 20
refuse 2 'no block is "middle"' features run --timestep 0 --blocks middle
refuse 2 "no block is named" features run --timestep 0 --blocks ""
refuse 1 "cannot make this folder" features run --timestep 0 --out tiny.yaml/x/result.h5
refuse 2 "held-out has only 300 images, not 301" features run --timestep 0 --num 301
stops TERM "features of digits" "$iddpm" features run --timestep 0 --data digits --batch 1 --out stopped.h5
[ ! -e stopped.h5 ] || complain "a stopped job has written its result"
[ -z "$(find . -name '*.tmp*')" ] || complain "left behind: $(find . -name '*.tmp*')"
finish
