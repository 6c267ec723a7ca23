# Super-resolution and class-conditional models from the command line: their network, training, likelihood, refusals.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

# Flags of the authors' upsampler.
cat >upsampler.yaml <<'YAML'
model: {large_size: 256, small_size: 64, num_channels: 192, class_cond: true, num_classes: 1000}
diffusion: {learn_sigma: true}
YAML
expect 0 "$iddpm" info upsampler.yaml
prints "network          super-resolution 64 -> 256, image 256x256, channels 3 in, 6 out, classes 1000"
prints "279792390 in 457 tensors"

# large_size or image_size, the same run on any number of ranks, continued; likelihood with the small images of its own.
tiny_run super small_size=4 train.total_steps=3
expect 0 ranks 2 train tiny.yaml run.dir=super2 small_size=4 large_size=8 train.total_steps=3
expect 0 h5diff super/checkpoints/step-00000003.h5 super2/checkpoints/step-00000003.h5 /params
expect 0 ranks 2 train super train.total_steps=4
expect 0 "$iddpm" train tiny.yaml run.dir=super2 small_size=4 train.total_steps=4 # without large_size
expect 0 h5diff super/checkpoints/step-00000004.h5 super2/checkpoints/step-00000004.h5 /params
expect 0 h5diff super/checkpoints/step-00000004.h5 super2/checkpoints/step-00000004.h5 /ema
expect 1 h5diff -q super/checkpoints/step-00000004.h5 run/checkpoints/step-00000004.h5 /params
expect 0 "$iddpm" nll super --num 20 --batch 5
likelihood=$(tail -n 1 "$work/out")
[[ $likelihood =~ ^[0-9.]+\ \+-\ [0-9.]+\ bits/dim$ ]] || complain "likelihood of a super-resolution model: $likelihood"
expect 0 ranks 2 nll super --num 20 --batch 5 --out two.h5
prints "$likelihood"

# A model of more classes than the data set has, some labels left out: trained, measured with the true ones, sampled.
tiny_run classes class_cond=true num_classes=1000 label_dropout=0.5
expect 0 "$iddpm" info classes
prints "classes 1000"
expect 0 h5dump -H -d /params/label_emb.weight classes/checkpoints/step-00000004.h5
prints "( 1001, 128 )"
expect 0 "$iddpm" nll classes --num 20
prints "bits/dim"
expect 0 "$iddpm" sample classes --num 2 --steps 2 --class 999 --out classes.png
expect 2 "$iddpm" sample classes --num 2 --class 1000
says "has the classes 0 to 999, not 1000"

refuse() { # TEXT key=value ...
    local text=$1
    shift
    expect 2 "$iddpm" train tiny.yaml run.dir=refused "$@"
    says "$text"
    [ ! -e refused ] || complain "a refused run left a folder"
}
refuse "model.small_size=8 on the command line: 8 is not smaller than the 8 pixels to which it is enlarged" small_size=8
refuse "model.large_size=8 on the command line: belongs to a super-resolution model" large_size=8
expect 2 "$iddpm" info tiny.yaml large_size=16 small_size=4
says "model.large_size=16 on the command line: is 16, but model.image_size is 8: give one of them"
refuse "is 16, but the images of digits are 8x8" large_size=16 small_size=4 image_size=64
refuse "model.label_dropout=0.1 on the command line: without class_cond" label_dropout=0.1
refuse "model.num_classes=9 on the command line: 9 are fewer than the 10 classes" class_cond=true num_classes=9
refuse "diffusion.min_snr_gamma=5 on the command line: weighs squared errors, which" min_snr_gamma=5 use_kl=true
finish
