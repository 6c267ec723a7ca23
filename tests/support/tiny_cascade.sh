# Sourced behind shell.sh, in $work: a class-conditional run `base` of 8 x 8 pixels, and `up`, which enlarges to 16 x 16.
cat >cascade.yaml <<'YAML'
model: {num_channels: 32, channel_mult: 1, num_res_blocks: 1, attention_resolutions: 8, num_heads: 1, class_cond: true}
diffusion: {diffusion_steps: 100, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 8, total_steps: 2, lr: 1e-3, ema_rate: 0.5}
YAML
mkdir pictures
find "$here/tests/data/image-folder-awkward" -name 'cat_*' -o -name 'dog_*' | xargs cp -t pictures
for size in 8 16; do expect 0 "$iddpm" import folder pictures data$size --size $size; done
expect 0 "$iddpm" train cascade.yaml run.dir=base data.path=data8 image_size=8
expect 0 "$iddpm" train cascade.yaml run.dir=up data.path=data16 small_size=8 large_size=16
[ $failures = 0 ] || finish
