# Bits/dim of many checkpoints: differences, strata, what is passed over, jobs that continue.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

nll() { expect 0 "$iddpm" nll "$@"; }

# ---- several checkpoints of a training -----------------------------------------------------------------------------

expect 0 "$iddpm" train tiny.yaml run.dir=long train.total_steps=160 train.save_interval=20 train.save_steps=[150] store.keep=100 diffusion.diffusion_steps=100
nll long --steps 20,140,160 --folder results --num 64 --strata 20
prints "bits/dim of held-out under long, ema/0.5 of 3 checkpoints, 100 timesteps in 20 strata"
[ "$(ls results | tr '\n' ' ')" = "step-00000020.h5 step-00000140.h5 step-00000160.h5 " ] || complain "results: $(ls results)"
line=$(grep '^step 160:' "$work/out")
echo "$line" | grep -qE '^step 160: [0-9]+\.[0-9]{3} \+- [0-9]\.[0-9]{3} bits/dim, [+-][0-9]+\.[0-9]{3} \+- [0-9]\.[0-9]{3} from step 140$' ||
    complain "of step 160 it printed: $line"
counts 1 "from step 20"
[ "$(tail -1 "$work/out")" = "$(sed -E 's/^step 160: (.* bits\/dim),.*/\1/' <<<"$line")" ] ||
    complain "the last line is not that of the last checkpoint: $(tail -1 "$work/out")"

# Common random numbers: the error of the difference is at least five times smaller than that of two separate jobs.
nll long --steps 150,160 --folder neighbours --num 64 --strata 20 --weights ema/0.9
near=$(grep '^step 160:' "$work/out")
awk -v line="$near" 'BEGIN { split(line, w); exit !(w[9] > 0 && w[9] * 5 <= sqrt(2) * w[5]) }' ||
    complain "the error of the difference is too large: $near"

# What is there is passed over and still compared; other settings are not the same.
nll long --steps all --folder results --num 64 --strata 20
counts 6 "wrote results/"
counts 8 " bits/dim, "
counts 1 "from step 150"
nll long --steps 140,160 --folder results --num 64 --strata 20
counts 0 "wrote"
prints "$line"
nll long --steps 160 --folder results --num 60 --strata 20
counts 1 "wrote results/step-00000160.h5"
nll long --steps 160 --folder results --num 60 --strata 20 --seed 9
counts 1 "wrote"
nll long --step 160 --folder results --num 60 --strata 20 --seed 9
counts 0 "wrote"
nll long --steps 20,160 --num 4 # without a folder, under their own names
[ -e long/nll/step-00000020-ema-0.5-held-out-num4.h5 ] || complain "not under its own name: $(ls long/nll)"

# Nor are those of another training under the same name.
tiny_run other run.seed=1
nll run --steps 2,4 --folder trained --num 4 --strata 3 --seed 0
cp other/checkpoints/step-00000004.h5 run/checkpoints/
nll run --steps 2,4 --folder trained --num 4 --strata 3 --seed 0
counts 0 "wrote trained/step-00000002.h5"
counts 1 "wrote trained/step-00000004.h5"
cp run/checkpoints/step-00000002.h5 run/checkpoints/step-00000004.h5
expect 1 "$iddpm" nll run --steps 2,4 --folder trained --num 4 --strata 3 --seed 0
says "run/checkpoints/step-00000004.h5 is a checkpoint of step 2; passed over"

# As many strata as timesteps, or more, are the full evaluation.
nll long --step 160 --num 8 --out full.h5
nll long --step 160 --num 8 --strata 100 --out all.h5
cmp full.h5 all.h5 || complain "100 strata of 100 timesteps are not every timestep"
nll long --step 160 --num 8 --strata 5 --respacing 20 --out few.h5
expect 0 h5dump -d /timesteps -H few.h5
prints "( 8, 5 )"
expect 0 h5dump -d /column_weights few.h5

# Damage and what is not there: named, passed over, status 1 at the end.
printf 'no checkpoint' >long/checkpoints/step-00000100.h5
size=$(stat -c %s long/checkpoints/step-00000060.h5)
printf damaged | dd of=long/checkpoints/step-00000060.h5 bs=1 seek=$((size - 2000)) conv=notrunc 2>/dev/null
for n in 1 2; do
    expect 1 ranks $n nll long --steps 40,60,70,100,160 --folder damaged$n --num 8 --strata 5
    says "step-00000060.h5"
    says "step-00000100.h5"
    says "no checkpoint of step 70"
    counts 3 "; passed over"
    says "3 of 5 checkpoints could not be read"
    counts 1 "from step 40"
    [ "$(ls damaged$n | tr '\n' ' ')" = "step-00000040.h5 step-00000160.h5 " ] || complain "damaged$n: $(ls damaged$n)"
done

refuse() { # TEXT ARGUMENT ...
    local text=$1
    shift
    expect 2 "$iddpm" nll "$@"
    says "$text"
    says_lines 1
}
refuse "give one of them" run --step 4 --steps 2,4
refuse "give --folder instead" run --steps all --out x.h5
refuse "--npz" run --steps all --npz
refuse "--noise" run --strata 3 --noise x.h5
refuse "--steps: found '2,,4'" run --steps 2,,4
refuse "--steps: found 'some'" run --steps some
refuse "is for the folder of a run" run/checkpoints/step-00000004.h5 --steps 4

# ---- jobs that continue --------------------------------------------------------------------------------------------

settings=(long --step 160 --num 200 --batch 4)
nll "${settings[@]}" --out whole.h5
[ ! -e whole.h5.part ] || complain "the part is still there"

# Killed in the middle of a batch, twice, on other numbers of ranks.
stamp() { stat -c %i%y on.h5.part 2>/dev/null; }
changed() { [ "$(stamp)" != "$before" ]; }
for n in 3 1; do
    before=$(stamp)
    mpirun --oversubscribe -n $n "$iddpm" nll "${settings[@]}" --out on.h5 --save-seconds 0 >"$work/out" 2>"$work/err" &
    pid=$!
    wait_for changed
    sleep 0.2
    pkill -KILL -P $pid
    wait $pid
done
[ -e on.h5.part ] && [ ! -e on.h5 ] || complain "nothing to continue: $(ls on.h5*)"
expect 0 ranks 2 nll "${settings[@]}" --out on.h5
prints "continues on.h5.part: "
cmp whole.h5 on.h5 || complain "the result is another one after a kill"
[ -z "$(ls on.h5.* 2>/dev/null)" ] || complain "left behind: $(ls on.h5.*)"

# A signal loses nothing; what other settings have left is not used.
"$iddpm" nll long --step 160 --data digits --out stopped.h5 --save-seconds 0 >"$work/out" 2>"$work/err" &
pid=$!
there() { [ -e stopped.h5.part ]; } # something is measured: before that there is nothing to keep
wait_for there
kill -TERM $pid
wait $pid
[ $? = 75 ] || complain "stopped by a signal: $(cat "$work/out" "$work/err")"
[ ! -e stopped.h5 ] || complain "a stopped job has written its result"
[ -e stopped.h5.part ] || complain "a stopped job has kept nothing"
nll "${settings[@]}" --out stopped.h5
says "stopped.h5.part is of a job with another"
cmp whole.h5 stopped.h5 || complain "the part of another job was used"
echo damaged >stopped.h5.part
nll "${settings[@]}" --out stopped.h5
says "stopped.h5.part"
cmp whole.h5 stopped.h5 || complain "another result beside a damaged part"
finish
