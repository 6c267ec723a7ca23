#!/bin/bash
# jobs/convert_checkpoint.py: the authors' files, made here with PyTorch, to checkpoints and runs that every command
# takes, and back. (tests/authors does it with the authors' own code.)
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"
export IDDPM=$iddpm

expect 0 /usr/bin/python3 "$here/tests/support/authors_files.py" "$here"
counts 0 "FAILED"

expect 0 "$iddpm" verify zip.h5 single.h5 ema.h5 alone.h5 flat classes-run
counts 6 "sound "
expect 0 "$iddpm" info single.h5
prints "model.num_channels=32"
prints "configuration    its network has these 88 tensors"
expect 1 "$iddpm" info single.h5 num_res_blocks=2
prints "it would fit with model.num_res_blocks=1"
says "the configuration's network is not that of the checkpoint's tensors: "
expect 0 "$iddpm" info tiny.yaml --fits zip.h5
expect 1 "$iddpm" info tiny.yaml class_cond=1 num_classes=12 --fits zip.h5
prints "label_emb.weight is missing; the configuration's network has it, [12][128]"
prints "it would fit with model.class_cond=false model.num_classes=0"
expect 0 "$iddpm" info tiny.yaml class_cond=1 num_classes=12 --fits classes-run/checkpoints/step-00000004.h5
expect 2 "$iddpm" info zip.h5 --fits zip.h5
expect 2 "$iddpm" info tiny.yaml --yaml --tensors
expect 2 "$iddpm" info digits --yaml

# what was converted is the model that it was, and its training goes on as if it had not been away
expect 0 "$iddpm" nll run --num 4 --strata 5 --out own.h5
cp "$work/out" own.out
expect 0 "$iddpm" nll zip.h5 --data held-out --num 4 --strata 5 --out zip-nll.h5
[ "$(tail -n 1 own.out)" = "$(tail -n 1 "$work/out")" ] || complain "other bits/dim: $(tail -n 1 own.out "$work/out")"
expect 0 "$iddpm" nll flat --num 2 --strata 2 --out flat.h5
expect 0 "$iddpm" sample classes-run --num 2 --steps 2 --out classes.png
expect 0 /usr/bin/python3 "$here/jobs/convert_checkpoint.py" to-iddpm theirs again --config tiny.yaml
prints "wrote again/checkpoints/step-00000004.h5"
for run in run again; do expect 0 "$iddpm" train $run total_steps=6; done
says "was written with instruction set 'pytorch'"
[ "$(metrics run | tail -n 2)" = "$(metrics again)" ] || complain "training goes on otherwise: $(metrics again)"
expect 0 h5diff run/checkpoints/step-00000006.h5 again/checkpoints/step-00000006.h5 /params
expect 0 "$iddpm" train flat total_steps=6
expect 0 "$iddpm" train classes-run total_steps=5

# without its packages it says which
expect 1 env PYTHONPATH="$work/none" /usr/bin/python3 -S "$here/jobs/convert_checkpoint.py" to-pt run out
says "Debian packages python3-torch and python3-h5py"
expect 0 /usr/bin/python3 "$here/jobs/convert_checkpoint.py" to-iddpm --help
prints "OUT.h5|RUN"
finish
