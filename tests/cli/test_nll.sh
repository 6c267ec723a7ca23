# Bits/dim from the command line: what is printed and written, the same on any number of ranks, refusals, signals.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

last_line_is_the_result() {
    tail -1 "$work/out" | grep -qE '^[0-9]+\.[0-9]{3} \+- ([0-9]+\.[0-9]{3}|nan) bits/dim$' ||
        complain "'$ran' ended with '$(tail -1 "$work/out")'"
}
same() { for name in vb mse xstart_mse prior total timesteps; do expect 0 h5diff "$1" "$2" "/$name"; done; }

# The run's own held-out data and first EMA; 1, 2 and 3 ranks give the same bits.
expect 0 "$iddpm" nll run --num 23 --batch 4
last_line_is_the_result
prints "bits/dim of held-out under run, ema/0.5 of step 4, 20 timesteps"
result=run/nll/step-00000004-ema-0.5-held-out-num23.h5
prints "wrote $result"
line=$(tail -1 "$work/out")
for n in 2 3; do
    expect 0 ranks "$n" nll run --num 23 --batch 4 --out on$n.h5 --npz
    last_line_is_the_result
    [ "$(tail -1 "$work/out")" = "$line" ] || complain "$n ranks: '$(tail -1 "$work/out")', not '$line'"
    same "$result" on$n.h5
done
for name in vb mse xstart_mse; do [ -s ${name}_terms.npz ] || complain "--npz: no ${name}_terms.npz"; done
expect 0 h5dump -d /vb -H "$result"
prints "( 23, 20 )"
for words in 'weights "ema/0.5"' 'data "held-out"' 'step 4' 'images 23' 'clip_denoised 1' 'noise_schedule "cosine"'; do
    expect 0 h5dump -a "${words%% *}" "$result"
    prints "(0): ${words#* }"
done

# Every option changes what it says.
expect 0 "$iddpm" nll run/checkpoints/step-00000002.h5 --data digits --num 1 --weights params --respacing 5 --no-clip
last_line_is_the_result # of one image: no standard error
result=run/nll/step-00000002-params-digits-5-num1-noclip.h5
prints "wrote $result"
expect 0 h5dump -d /timesteps "$result"
prints "19, 14, 10, 5, 0"
expect 0 "$iddpm" nll run --step 2 --respacing 2 --seed 3
prints "wrote run/nll/step-00000002-ema-0.5-held-out-2-seed3.h5"
expect 0 "$iddpm" nll run --step 2 --respacing 2 --seed 0 --data held-out/
prints "wrote run/nll/step-00000002-ema-0.5-held-out-2.h5" # the run's seed
expect 0 "$iddpm" nll run --step 2 --weights ema/0.9 --num 5 --seed 7 --out seven.h5
expect 0 "$iddpm" nll run --step 2 --weights ema/0.9 --num 5 --seed 8 --out eight.h5
expect 1 h5diff -q seven.h5 eight.h5 /vb
expect 0 h5diff seven.h5 eight.h5 /prior

# Refusals, once, with a cure.
refuse() { # STATUS TEXT ARGUMENT ...
    local status=$1 text=$2
    shift 2
    expect "$status" "$iddpm" nll "$@"
    says "$text"
    says_lines 1
}
mkdir empty
refuse 2 "nowhere: no such run folder or checkpoint" nowhere
refuse 2 "empty: no valid checkpoint" empty
refuse 2 'has no weights "ema/0.7"; it has: params, ema/0.5, ema/0.9' run --weights ema/0.7
refuse 2 "no checkpoint of step 3; steps there: 2, 4" run --step 3
refuse 2 "held-out has only 300 images, not 301" run --num 301
refuse 2 "timestep_respacing" run --respacing 21
refuse 2 "timestep_respacing" run --respacing many
refuse 1 "tiny.yaml" tiny.yaml
refuse 1 "no-data" run --data no-data
expect 0 "$iddpm" import folder "$here/tests/data/image-folder-awkward" others --size 16
refuse 2 "others has images of 16x16 pixels and 3 channels, but the model of run/checkpoints/step-00000004.h5 is for 8x8 and 1" run --data others
refuse 1 "none.h5" run --noise none.h5
refuse 1 "noise" run --noise seven.h5
refuse 1 "cannot make this folder" run --out tiny.yaml/x/result.h5
tiny_run no-eval data.eval_path=
refuse 2 "give --data" no-eval

# A signal: status 75, and nothing of a result.
stops TERM "bits/dim of digits" "$iddpm" nll run --data digits --out stopped.h5
[ ! -e stopped.h5 ] || complain "a stopped job has written its result"
[ -z "$(find . -name '*.tmp*')" ] || complain "left behind: $(find . -name '*.tmp*')"
finish
