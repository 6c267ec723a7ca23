#!/bin/bash
# iddpm info: sizes of the authors' networks, and every refusal of a job, without mpirun.
. "$(dirname "$0")/../support/shell.sh"
configs=$here/jobs/configs
sizes=$here/tests/reference/model_sizes.json
cd "$work" || exit 1 # no data sets here

# same_size NAME CONFIG [key=value ...]: parameters, tensors and multiply-adds as counted in the authors' code
same_size() {
    local name=$1 entry
    shift
    entry=$(tr -d ' \n' <"$sizes" | sed -E "s/.*\"$name\":\{([^}]*)\}.*/\1/")
    value() { sed -E "s/.*\"$1\":([0-9]+).*/\1/" <<<"$entry"; }
    expect 0 "$iddpm" info "$@"
    prints "parameters       $(value parameters) in $(value tensors) tensors"
    prints "multiply-adds    $(value forward_macs_per_image) per image"
}
same_size cifar10_uncond_128ch "$configs/cifar10.yaml"
same_size imagenet64_uncond_128ch "$configs/imagenet64.yaml"
same_size imagenet64_uncond_64ch "$configs/imagenet64.yaml" num_channels=64
same_size imagenet64_class_cond_192ch "$configs/imagenet64.yaml" num_channels=192 class_cond=True num_classes=1000
same_size lsun256_128ch "$configs/imagenet64.yaml" image_size=256 num_res_blocks=2 num_heads=1 \
    use_scale_shift_norm=False attention_resolutions=16

# a configuration can be looked at before there is data, and before it says how long to train
expect 0 "$iddpm" info "$configs/digits.yaml"
prints "data/digits: no such folder"
prints "32 images in 4 leaves of 8, at most 8 at once"
prints "memory "
printf 'model: {image_size: 32}\n' >bare.yaml
expect 0 "$iddpm" info bare.yaml
prints "data.path        not set"
prints "train.total_steps not set"
expect 2 "$iddpm" info bare.yaml --ranks 1
says "default of train.total_steps: how long to train is not said"
expect 2 "$iddpm" info bare.yaml total_steps=1 --ranks 1
says "default of data.path: not set"
expect 2 "$iddpm" info "$configs/digits.yaml" --ranks 2
says "digits.yaml:5: data.path: data/digits: no such folder"
says_lines 1

# refuse TEXT key=value ...: status 2 and the text, once, on standard error
refuse() {
    local text=$1
    shift
    expect 2 "$iddpm" info "$configs/cifar10.yaml" "$@"
    says "$text"
    says_lines 1
}
refuse "model.num_channels=48 on the command line: 48 is not divisible by 32" num_channels=48
refuse "cifar10.yaml:8: model.image_size: 32 is not divisible by 64" channel_mult=1,1,1,1,1,1,1
refuse "model.image_size=33 on the command line: 33 is not divisible by" image_size=33 channel_mult=1,2
refuse "channel_mult: needed at an image_size of 48" image_size=48
refuse "num_heads=3 on the command line: 3 heads do not divide" num_heads=3
refuse "num_res_blocks=512 on the command line: 512 at each of 4 levels are too many: allowed are at most 255" num_res_blocks=512
refuse "num_heads_upsample=3 on the command line: 3 heads do not divide" num_heads_upsample=3
refuse "num_classes" class_cond=yes
refuse "parallel.leaves=3 on the command line" leaves=3
refuse "parallel.leaves=256 on the command line" leaves=256
refuse "3 ranks cannot share the 16 leaves" --ranks 3
refuse "timestep_respacing=ddim4001 on the command line" timestep_respacing=ddim4001
refuse "total_steps=9 on the command line: 9 is past train.lr_anneal_steps" total_steps=9 lr_anneal_steps=5
refuse "num_chanels: unknown key; nearest is model.num_channels" num_chanels=64
refuse "found 'many'; allowed is a whole number" batch_size=many
refuse "info: --ranks: found '0'" --ranks 0
refuse "info: unknown option --rank; nearest is --ranks" --rank=2

# on the way up only what attends is asked; the middle block, here alone at 4 pixels with 3 x 128 channels, has num_heads
expect 0 "$iddpm" info "$configs/cifar10.yaml" channel_mult=1,2,2,3 attention_resolutions=16 num_heads_upsample=256
refuse "256 heads do not divide the 384 channels at 4 pixels" channel_mult=1,2,2,3 attention_resolutions=16 num_heads=256

# with data: the same checks as the job, and what they need
expect 0 "$iddpm" import digits data/digits --shards 4
expect 0 "$iddpm" info data/digits
prints "images           1497 of 8x8, channels 1"
prints "classes          10: 0 1 2"
prints "shards           4"
expect 0 "$iddpm" info "$configs/digits.yaml" --ranks 4
prints "4, each 1 leaves, 8 images"
prints "a job on 4 ranks may start"
expect 2 "$iddpm" info "$configs/digits.yaml" --ranks 3
says "digits.yaml:19: train.batch_size: 3 ranks cannot share the 4 leaves"
expect 2 "$iddpm" info "$configs/digits.yaml" image_size=16 --ranks 1
says "model.image_size=16 on the command line: is 16, but the images of data/digits are 8x8"
expect 2 "$iddpm" info "$configs/digits.yaml" in_channels=3
says "model.in_channels=3 on the command line: is 3, but the images of data/digits have 1"
expect 2 "$iddpm" info "$configs/digits.yaml" class_cond=1 num_classes=9
says "9 are fewer than the 10 classes of the data set"
expect 2 "$iddpm" info "$configs/digits.yaml" batch_size=2048 leaves=2048 --ranks 1
says "too few for 2048 leaves"
expect 0 "$iddpm" info "$configs/digits.yaml" class_cond=1
prints "2 out, classes 10"
expect 0 "$iddpm" info "$configs/digits.yaml" timestep_respacing=ddim20
expect 2 "$iddpm" info "$configs/digits.yaml" resume_checkpoint=none.h5 --ranks 1
says "train.resume_checkpoint=none.h5 on the command line: none.h5"
expect 2 "$iddpm" info "$configs/digits.yaml" dir= --ranks 1
says "run.dir= on the command line: not set"
# held-out images may come later, but not where training measures them
expect 0 "$iddpm" info "$configs/digits.yaml" eval_path=data/none --ranks 1
prints "eval data        data/none: no such folder"
expect 2 "$iddpm" info "$configs/digits.yaml" eval_path=data/none eval_interval=5 --ranks 1
says "data.eval_path=data/none on the command line: data/none: no such folder"
expect 0 "$iddpm" info "$configs/digits.yaml" eval_path=data/digits eval_interval=5 --ranks 1
expect 2 "$iddpm" info "$configs/digits.yaml" eval_path=data/digits eval_interval=5 eval_num=1498 --ranks 1
says "train.eval_num=1498 on the command line: is 1498, but data/digits has only 1497 images"
expect 2 "$iddpm" info "$configs/digits.yaml" sample_interval=5 sample_steps=401 --ranks 1
says "train.sample_steps=401 on the command line: "

# which files the ranks read: 4 leaves, 4 shards
files() { sed 's/.*shard-000\(.\).h5/\1/' "$work/out" | tr '\n' ' '; }
expect 0 "$iddpm" info "$configs/digits.yaml" --ranks 2 --files 1
[ "$(files)" = "data/digits/index.json 2 3 " ] || complain "files of rank 1 of 2: $(cat out)"
expect 0 "$iddpm" info "$configs/digits.yaml" --ranks 4 --files 0,2-3
[ "$(files)" = "data/digits/index.json 0 2 3 " ] || complain "files of ranks 0, 2 and 3 of 4: $(cat out)"
expect 0 "$iddpm" info "$configs/digits.yaml" batch_size=128 leaves=16 --ranks 8 --files 1
[ "$(files)" = "data/digits/index.json 2 3 " ] || complain "files of rank 1 of 8, leaves 2 and 3 of 16: $(cat out)"
for ranks in 4 -1 2-1 0, x 0-4 +1 '0 1'; do
    expect 2 "$iddpm" info "$configs/digits.yaml" --ranks 4 --files="$ranks"
    says "--files: found '$ranks'; allowed are ranks from 0 to 3"
done
expect 2 "$iddpm" info "$configs/digits.yaml" --files 0
says "--files: of how many ranks?"
expect 2 "$iddpm" info "$configs/digits.yaml" --files 0 --ranks 3
says "3 ranks cannot share the 4 leaves"
expect 2 "$iddpm" info data/digits --files 0 --ranks 1
mv data/digits/shard-0001.h5 .
expect 1 "$iddpm" info "$configs/digits.yaml" --ranks 1
says "shard-0001.h5: cannot open"
mv shard-0001.h5 data/digits

# a run and its checkpoint
expect 0 "$iddpm" train "$configs/digits.yaml" total_steps=1 ema_rate=0.9,0.999 dir=run
expect 0 "$iddpm" info run
prints "checkpoints      1, newest run/checkpoints/step-00000001.h5"
prints "parameters       755298 in 128 tensors"
cp -r run moved
expect 0 "$iddpm" info moved --ranks 1
prints "moved holds this run already: it would be continued"
expect 0 "$iddpm" info run/checkpoints/step-00000001.h5
prints "step             1"
expect 2 "$iddpm" info run/checkpoints/step-00000001.h5 --files 0 --ranks 1
says "not a checkpoint"
expect 0 "$iddpm" info run/checkpoints/step-00000001.h5
prints "weights          ema/0.9"
prints "weights          ema/0.999"
prints "weights          params, 755298 elements"
prints "parameters       755298 in 128 tensors"

expect 2 "$iddpm" info
says "usage: iddpm info CONFIG|RUN|CHECKPOINT|DATA"
expect 2 "$iddpm" info nowhere.yaml
says "nowhere.yaml: cannot open this configuration"
mkdir empty
expect 1 "$iddpm" info empty
says "empty: "
expect 2 "$iddpm" info empty lr=1
printf '\x89HDF\r\n\x1a\nrest' >broken.h5
expect 1 "$iddpm" info broken.h5
says "broken.h5: "
finish
