# Options of training with a known effect: microbatches, threads, the warm-up of EMAs, annealing, which checkpoints stay.
. "$(dirname "$0")/../support/shell.sh"

cd "$work"
expect 0 "$iddpm" import digits data
cat >tiny.yaml <<'YAML'
run: {dir: runs/tiny}
data: {path: data}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8, dropout: 0.1}
diffusion: {diffusion_steps: 20, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 32, total_steps: 3, lr: 1e-3, ema_rate: [0.9], log_interval: 5, save_interval: 100}
parallel: {leaves: 4}
YAML
trained() { # NAME [key=value ...]: a run of its own
    local name=$1
    shift
    expect 0 timeout 60 "$iddpm" train tiny.yaml run.dir="runs/$name" "$@"
}
at() { printf 'runs/%s/checkpoints/step-%08d.h5' "$1" "$2"; } # NAME STEP
same() { for group in params ema optimizer; do expect 0 h5diff "$1" "$2" "/$group"; done; } # to the bit

# A leaf of 8 images whole, in parts that divide it or not: sums in another order, so the same within rounding. The
# first moment after one step is a tenth of the gradient, before Adam makes a step of lr of what is only rounding.
trained whole save_interval=1
for images in 1 3; do
    trained micro$images microbatch=$images save_interval=1
    expect 0 h5diff -d 1e-6 "$(at whole 1)" "$(at micro$images 1)" /optimizer/exp_avg
    expect 0 h5diff -d 1e-4 "$(at whole 3)" "$(at micro$images 3)" /params
done
trained micro100 microbatch=100
same "$(at whole 3)" "$(at micro100 3)"

# Threads divide the work, not the sums; the images, noise and dropout are those of the seed alone.
trained threads parallel.threads=2
same "$(at whole 3)" "$(at threads 3)"
trained seed seed=1
expect 1 h5diff -q -d 1e-4 "$(at whole 3)" "$(at seed 3)" /params

# With ema_warmup the rate of the k-th update is at most (1 + k) / (10 + k): 2/11, then 3/12.
rates="ema_rate=0.18181818181818182,0.25,0.99 save_interval=1 total_steps=2"
# shellcheck disable=SC2086
trained warm ema_warmup=true $rates
# shellcheck disable=SC2086
trained cold $rates
first=/ema/0.18181818181818182
expect 0 h5diff "$(at warm 1)" "$(at cold 1)" $first
expect 0 h5diff "$(at warm 1)" "$(at warm 1)" $first /ema/0.25
expect 0 h5diff "$(at warm 1)" "$(at warm 1)" $first /ema/0.99
expect 0 h5diff "$(at warm 2)" "$(at warm 2)" /ema/0.25 /ema/0.99
expect 0 h5diff "$(at warm 2)" "$(at cold 2)" $first # smaller than what the warm-up allows
expect 1 h5diff -q "$(at warm 2)" "$(at warm 2)" $first /ema/0.25
expect 1 h5diff -q "$(at cold 1)" "$(at cold 1)" $first /ema/0.99
expect 0 h5diff "$(at warm 2)" "$(at cold 2)" /params

# Annealing: step s = 3 of 12 is taken with lr (1 - s / 12), here numbers without rounding; the step s = 0 with lr.
next="resume_checkpoint=$(at whole 3) total_steps=4"
# shellcheck disable=SC2086
trained annealed $next lr=0.0078125 lr_anneal_steps=12
# shellcheck disable=SC2086
trained smaller $next lr=0.005859375
# shellcheck disable=SC2086
trained constant $next lr=0.0078125
same "$(at smaller 4)" "$(at annealed 4)"
expect 1 h5diff -q "$(at constant 4)" "$(at annealed 4)" /params
trained short lr_anneal_steps=2 total_steps=0 save_interval=1 # is also how long to train
same "$(at whole 1)" "$(at short 1)"
[ "$(ls runs/short/checkpoints)" = "step-00000001.h5
step-00000002.h5" ] || complain "lr_anneal_steps=2 left $(ls runs/short/checkpoints)"
expect 2 "$iddpm" train tiny.yaml run.dir=runs/no lr_anneal_steps=2
says "train.total_steps"
says "past train.lr_anneal_steps (2)"
[ ! -e runs/no ] || complain "a refused run left a folder"

# The newest store.keep checkpoints stay, and those of every keep_every-th interval; the last step is one more save.
keeps() { # NAME STEPS key=value ...
    local name=$1 steps=$2 step wanted=
    shift 2
    trained "$name" "$@"
    for step in $steps; do wanted="$wanted$(printf 'step-%08d.h5' "$step") "; done
    [ "$(ls -A "runs/$name/checkpoints" | tr '\n' ' ')" = "$wanted" ] ||
        complain "$* left $(ls -A "runs/$name/checkpoints" | tr '\n' ' '), not $wanted"
}
keeps every "2 4 5" store.keep=1 store.keep_every=2 save_interval=1 total_steps=5
keeps newest "4 5" store.keep=2 store.keep_every=0 save_interval=1 total_steps=5
keeps between "4 6 7" store.keep=2 store.keep_every=2 save_interval=2 total_steps=7

# There is a checkpoint at each of train.save_steps, which stays; a run that goes on may be given others.
keeps listed "1 3 4" store.keep=1 save_interval=2 save_steps=1,3,9 total_steps=4
keeps listed "1 5 6 7" store.keep=1 save_interval=100 save_steps=1,5,6,9 total_steps=7

# How checkpoints are written changes nothing in them but places.
trained laid store.hints=striping_factor=8,romio_ds_write=disable store.alignment=65536 save_interval=1
large=/params/output_blocks.0.0.in_layers.2.weight # 73,728 bytes
offset=$(h5dump -p -H -d $large "$(at laid 1)" | sed -n 's/^ *OFFSET \([0-9]*\)$/\1/p')
[ $((offset % 65536)) = 0 ] && [ "$offset" -gt 0 ] || complain "store.alignment: $large is at $offset"
same "$(at whole 1)" "$(at laid 1)"
expect 2 "$iddpm" train tiny.yaml run.dir=runs/no store.hints=striping_factor
says "store.hints"
says "'striping_factor' is no hint; allowed is name=value"
[ ! -e runs/no ] || complain "a refused run left a folder"
finish
