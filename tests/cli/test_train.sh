# Training from the command line: the same on any number of ranks, stop and continue, refusals, what is left behind.
. "$(dirname "$0")/../support/shell.sh"

cd "$work"
expect 0 "$iddpm" import digits data
cat >tiny.yaml <<'YAML'
run: {dir: runs/tiny}
data: {path: data}
model: {image_size: 8, in_channels: 1, num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8, dropout: 0.1}
diffusion: {diffusion_steps: 20, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 32, total_steps: 12, lr: 1e-3, ema_rate: [0.9, 0.99], log_interval: 5, save_interval: 4, schedule_sampler: loss-second-moment}
YAML
ranks() { # N COMMAND ...
    local n=$1
    shift
    timeout 120 mpirun --oversubscribe -n "$n" "$iddpm" "$@"
}
same() { for group in params ema optimizer sampler train/updates; do expect 0 h5diff "$1" "$2" "/$group"; done; } # to the bit
steps_of() { sed 's/"seconds".*//' "$1/metrics.jsonl"; } # without times and memory

# The same images, timesteps, noise and dropout on 1, 2 and 4 ranks: parameters agree within rounding.
for n in 1 2 4; do
    expect 0 ranks "$n" train tiny.yaml run.dir=runs/on$n
    [ "$(wc -l <runs/on$n/metrics.jsonl)" = 3 ] || complain "runs/on$n/metrics.jsonl has not 3 lines"
    [ "$(ls runs/on$n/checkpoints)" = "step-00000004.h5
step-00000008.h5
step-00000012.h5" ] || complain "checkpoints of runs/on$n: $(ls runs/on$n/checkpoints)"
done
for n in 2 4; do
    for name in params/out.0.weight params/input_blocks.0.0.weight ema/0.9/time_embed.0.weight; do
        expect 0 h5diff -d 1e-4 runs/on1/checkpoints/step-00000012.h5 runs/on$n/checkpoints/step-00000012.h5 "$name"
    done
done
# The other reduction comes to the same, but for rounding (of the default: test_same_bits.sh).
expect 0 ranks 2 train tiny.yaml run.dir=runs/allreduce reduction=mpi_allreduce
expect 0 h5diff -d 1e-4 runs/on1/checkpoints/step-00000012.h5 runs/allreduce/checkpoints/step-00000012.h5 params/out.0.weight

head -1 runs/on1/progress.csv | grep -q '^step,samples,loss,loss_q0,.*,grad_norm,param_norm' ||
    complain "heading of progress.csv: $(head -1 runs/on1/progress.csv)"

# Stopped at a checkpoint and continued, with its file of the configuration or the run folder: the same run to the bit.
expect 0 ranks 2 train tiny.yaml total_steps=6
sed -i -E 's/(,[^,]*){4}$//' runs/tiny/progress.csv # a table of before there was a noise scale
expect 0 ranks 2 train runs/tiny total_steps=9
printf '{"step": 10, "loss"' >>runs/tiny/metrics.jsonl # a line that a kill cut off
expect 0 ranks 2 train tiny.yaml
prints "continuing from runs/tiny/checkpoints/step-00000009.h5"
same runs/on2/checkpoints/step-00000012.h5 runs/tiny/checkpoints/step-00000012.h5
expect 0 grep -c '"step": 10,' runs/tiny/metrics.jsonl
expect 0 ranks 2 train tiny.yaml
[ "$(wc -l <runs/tiny/metrics.jsonl)" = 5 ] || complain "metrics.jsonl after 6, 9 and 12 steps: $(cat runs/tiny/metrics.jsonl)"

[ "$(head -1 runs/tiny/progress.csv)" = "$(head -1 runs/on2/progress.csv)" ] || complain "heading of an older table"
[ "$(awk -F, '{ print NF }' runs/tiny/progress.csv | sort -u | wc -l)" = 1 ] || complain "rows of an older table"

# The gradient noise scale, where a step has parts: the leaves, or what the ranks have.
for run in on1 on2 allreduce; do
    expect 0 grep -c '"ranks": [12], "grad_sq_small": .*, "grad_sq_big": ' "runs/$run/metrics.jsonl"
    prints 3
done
expect 0 "$iddpm" train tiny.yaml run.dir=runs/leaf leaves=1 total_steps=2
expect 1 grep -E "grad_sq_|noise_scale" runs/leaf/metrics.jsonl
expect 0 grep -c '"ranks": 1}' runs/leaf/metrics.jsonl

# A damaged newest checkpoint is named and passed over; what comes after is the same again.
printf 'x' | dd of=runs/on2/checkpoints/step-00000012.h5 bs=1 seek=40000 conv=notrunc 2>/dev/null
cp runs/on2/metrics.jsonl before
expect 0 ranks 2 train runs/on2
says "step-00000012.h5"
prints "continuing from runs/on2/checkpoints/step-00000008.h5"
cp runs/on2/metrics.jsonl after
[ "$(sed 's/"seconds".*//' before)" = "$(sed 's/"seconds".*//' after)" ] || complain "metrics differ after a damaged checkpoint"

# SIGUSR1: a checkpoint, status 75, and the same command continues to the same end.
long="total_steps=120 log_interval=20 save_interval=40"
# shellcheck disable=SC2086
expect 0 ranks 2 train tiny.yaml run.dir=runs/straight $long
# shellcheck disable=SC2086
mpirun --oversubscribe -n 2 "$iddpm" train tiny.yaml run.dir=runs/stopped $long >out 2>err &
for _ in $(seq 1200); do grep -q '"step": 20,' runs/stopped/metrics.jsonl 2>/dev/null && break; sleep 0.05; done
kill -USR1 $!
wait $!
status=$?
[ $status = 75 ] || complain "SIGUSR1 gave status $status, not 75: $(cat out err)"
[ ! -e runs/stopped/checkpoints/step-00000120.h5 ] || complain "SIGUSR1 came too late to stop anything"
[ "$(cat out err | grep -c "run the same command again")" = 1 ] || complain "how to continue is not said once: $(cat out err)"
# shellcheck disable=SC2086
expect 0 ranks 2 train tiny.yaml run.dir=runs/stopped $long
[ "$(steps_of runs/straight)" = "$(steps_of runs/stopped)" ] || complain "metrics differ after a stop"
same runs/straight/checkpoints/step-00000120.h5 runs/stopped/checkpoints/step-00000120.h5

# A new run from another's checkpoint, step and moments included.
expect 0 ranks 1 train tiny.yaml run.dir=runs/resumed resume_checkpoint=runs/on1/checkpoints/step-00000008.h5
expect 0 h5diff -d 1e-6 runs/on1/checkpoints/step-00000012.h5 runs/resumed/checkpoints/step-00000012.h5 params/out.0.weight

# Refusals name the key and what would do, once, and leave nothing.
expect 2 ranks 2 train tiny.yaml lr=2e-3 run.dir=runs/on4
says "train.lr"
counts 1 "holds a run with another configuration"
expect 2 ranks 2 train tiny.yaml parallel.kernels=direct run.dir=runs/on4
says "parallel.kernels: direct here, auto there"
expect 2 ranks 3 train tiny.yaml run.dir=runs/no
counts 1 "3 ranks cannot share"
expect 2 ranks 1 train tiny.yaml run.dir=runs/no parallel.leaves=3
says "leaves"
expect 2 ranks 1 train tiny.yaml run.dir=runs/no image_size=16 channel_mult=1
says "8x8"
expect 2 ranks 1 train tiny.yaml run.dir=runs/no num_channels=33
says "divisible by 32"
expect 2 ranks 1 train tiny.yaml run.dir=runs/no num_chanels=32
says "model.num_channels"
expect 2 ranks 1 train tiny.yaml run.dir=runs/no total_steps=0
says "train.total_steps"
expect 1 ranks 2 train tiny.yaml run.dir=runs/no data.path=nowhere
counts 1 "nowhere"
expect 2 ranks 2 train missing.yaml
counts 1 "missing.yaml"
expect 2 ranks 1 train data
says "no run is in this folder"
[ ! -e runs/no ] || complain "a refused run left a folder"

expect 2 ranks 1 train tiny.yaml run.dir=
says "run.dir"
expect 2 ranks 2 train tiny.yaml run.dir=runs/no data.path=
counts 1 "data.path"
expect 2 ranks 1 train runs/on1 total_steps=6
says "has done 12 steps"

# A checkpoint that does not fit, or is not there, leaves nothing that stands in the way of the right one.
expect 1 ranks 2 train tiny.yaml run.dir=runs/no resume_checkpoint=nowhere.h5
counts 1 "nowhere.h5"
expect 1 ranks 2 train tiny.yaml run.dir=runs/no num_channels=64 resume_checkpoint=runs/on1/checkpoints/step-00000008.h5
counts 1 "time_embed"
[ ! -e runs/no ] || complain "a refused run left a folder"
expect 0 ranks 1 train tiny.yaml run.dir=runs/other schedule_sampler=uniform resume_checkpoint=runs/on1/checkpoints/step-00000008.h5
expect 0 ranks 1 train tiny.yaml run.dir=runs/back total_steps=14 resume_checkpoint=runs/other/checkpoints/step-00000012.h5
says "the sampler starts without"

# Checkpoints that all are damaged, or lost their configuration, are never trained over.
cp -r runs/on1 runs/damaged
for file in runs/damaged/checkpoints/*; do printf 'x' | dd of="$file" bs=1 seek=40000 conv=notrunc 2>/dev/null; done
expect 1 ranks 2 train runs/damaged total_steps=20
says "none of its 3 checkpoints can be read"
[ "$(wc -l <runs/damaged/metrics.jsonl)" = 3 ] || complain "metrics of a damaged run were cut"
rm runs/damaged/config.yaml
expect 1 ranks 2 train tiny.yaml run.dir=runs/damaged
says "no config.yaml"

# The only sound checkpoint stays, however many damaged ones are newer.
cp -r runs/on1 runs/half
for step in 08 12; do printf 'x' | dd of=runs/half/checkpoints/step-000000$step.h5 bs=1 seek=40000 conv=notrunc 2>/dev/null; done
expect 0 ranks 1 train runs/half total_steps=6 store.keep=1
[ -e runs/half/checkpoints/step-00000006.h5 ] || complain "pruned: $(ls runs/half/checkpoints)"

# Not finite: skipped and counted, and the run ends after ten in a row with what it saw.
expect 1 ranks 2 train tiny.yaml run.dir=runs/nan lr=1e30 total_steps=40
says "not finite"
says "10 steps in a row"

[ -z "$(find runs -name '*.tmp*')" ] || complain "temporary files are left: $(find runs -name '*.tmp*')"
finish
