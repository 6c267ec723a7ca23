#!/bin/bash
# Models trained by the authors' own code go on here, and ours there: IDDPM_AUTHORS=CHECKOUT tests/run.sh -L authors,
# where CHECKOUT is one of openai/improved-diffusion.
[ -n "${IDDPM_AUTHORS:-}" ] || { echo "IDDPM_AUTHORS is not set to a checkout of openai/improved-diffusion"; exit 77; }
. "$(dirname "$0")/../support/shell.sh"
batch=$(cd "$1" && pwd)/tests/authors_batch
cd "$work" || exit 1
export IDDPM=$iddpm PYTHONDONTWRITEBYTECODE=1
convert=$here/jobs/convert_checkpoint.py

theirs() { # train|compare|resume KIND
    expect 0 /usr/bin/python3 "$here/tests/authors/round_trip.py" "$@"
    cat "$work/out"
}

configuration() { # SIZE: its keys in the group model
    cat <<YAML
data: {path: ../digits, eval_path: ../held-out}
model: {$1, in_channels: 1, num_channels: 32, channel_mult: [1, 2], num_res_blocks: 1,
  attention_resolutions: 4, num_heads: 2, class_cond: true, num_classes: 12}
diffusion: {diffusion_steps: 100, noise_schedule: cosine, learn_sigma: true}
train: {batch_size: 16, lr_anneal_steps: 100, total_steps: 42, lr: 1e-3, weight_decay: 0.05, ema_rate: [0.5, 0.9],
  log_interval: 1, save_interval: 41}
YAML
}

theirs_to_ours() { # KIND OPTION ...: of sample
    theirs train "$1"
    expect 0 "$convert" to-iddpm theirs converted --config config.yaml
    for layout in plain flat; do expect 0 "$convert" to-iddpm $layout $layout.h5 --config config.yaml; done
    expect 0 "$iddpm" verify converted plain.h5 flat.h5
    expect 0 "$iddpm" nll converted --num 8 --weights ema/0.9 --noise nll-noise.h5 --out nll.h5
    expect 0 "$iddpm" sample converted --num 32 "${@:2}" --weights ema/0.9 --noise sample-noise.h5 --out samples.png \
        --npz
    expect 0 "$iddpm" sample converted --encode ../held-out --num 8 --weights ema/0.9 --out latents.h5
    expect 0 "$iddpm" train converted total_steps=42
    theirs compare "$1"
}

ours_to_theirs() { # KIND
    expect 0 "$iddpm" train config.yaml run.dir=ours
    expect 0 "$convert" to-pt ours/checkpoints/step-00000041.h5 ours-pt
    sed -nE 's/.*"step": 42,.*"loss": ([^,]*),.*/\1/p' ours/metrics.jsonl >loss
    theirs resume "$1"
}

round_trip() { # KIND SIZE OPTION ...
    mkdir "$work/$1" && cd "$work/$1" || exit 1
    configuration "$2" >config.yaml
    expect 0 "$batch" config.yaml 42 batches.h5
    theirs_to_ours "$1" "${@:3}"
    ours_to_theirs "$1"
}

expect 0 "$iddpm" import digits digits
expect 0 "$iddpm" import digits held-out --split test --shards 1
round_trip image "image_size: 8" --class 3
round_trip enlarge "large_size: 8, small_size: 4" --base base.npz
finish
