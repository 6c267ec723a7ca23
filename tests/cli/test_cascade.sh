# The cascade: two stages as one job, killed and stopped in the second, the same images as by hand.
. "$(dirname "$0")/../support/shell.sh"
cd "$work" || exit 1
export IDDPM=$iddpm OMPI_MCA_mpi_yield_when_idle=1
cascade=$here/jobs/cascade.sh
. "$here/tests/support/tiny_cascade.sh"

# Both stages in one command, with options of each, are those by hand.
number=8
expect 0 env RANKS=1 bash "$cascade" base up $number calm --batch 1 --steps 5 -- --batch 1 --seed 3
prints "8 samples of base, ema/0.5 of step 2, 5 steps"
prints "8 samples of up, ema/0.5 of step 2, 100 steps"
for name in base.png samples.png; do [ -s calm/$name ] || complain "no picture calm/$name"; done
expect 0 "$iddpm" sample base --num $number --batch 1 --steps 5 --npz --out hand/base.png
expect 0 "$iddpm" sample up --base hand/base.npz --batch 1 --seed 3 --npz --out hand/samples.png
for stage in base samples; do expect 0 cmp calm/$stage.npz hand/$stage.npz; done
expect 0 "$iddpm" import npz calm/samples.npz again
expect 0 "$iddpm" info again
prints "8 of 16x16, channels 3"

# With the seed that both have by default, no noise is in both stages: the chains after their first step are nearly that.
first_step="--num 2 --batch 2 --steps 50 --progressive 50 --npz"
expect 0 "$iddpm" sample base $first_step --out noise/base.png
expect 0 "$iddpm" sample up --base calm/base.npz $first_step --out noise/up.png
expect 0 /usr/bin/python3 - <<'PYTHON'
import numpy as np
base, up = (np.load(f"noise/{name}.npz")["arr_0"][:, 0].reshape(2, -1) for name in ("base", "up"))
for small, large in zip(base, up):
    together = np.corrcoef(small, large[:small.size])[0, 1]
    assert abs(together) < 0.5, f"noise of both stages has a correlation of {together}"
PYTHON

# A run that trains on gives no newer checkpoint to a cascade that has begun; another run is refused.
cp -r base later
expect 0 env RANKS=1 bash "$cascade" later up 2 pinned --batch 1 --steps 2
expect 0 "$iddpm" train later total_steps=3
rm pinned/samples.* pinned/base.yaml
expect 0 env RANKS=1 bash "$cascade" later up 2 pinned --batch 1 --steps 2
prints "2 samples of later, ema/0.5 of step 2"
expect 2 env RANKS=1 bash "$cascade" base up 2 pinned --batch 1 --steps 2
says "this cascade was begun with later, not base"

begin() { # FOLDER: starts it in the background and waits until images of the second stage are done, not all
    RANKS=2 bash "$cascade" base up $number "$work/$1" --batch 1 --steps 5 -- --batch 1 --seed 3 >"$1.out" 2>"$1.err" &
    script=$!
    wait_for compgen -G "$1/samples*.part"
}
ends() { # STATUS FOLDER
    wait "$script"
    local status=$?
    [ "$status" = "$1" ] || complain "$2 ended with status $status, not $1: $(cat "$2.out" "$2.err")"
    [ ! -e "$2/samples.npz" ] || complain "$2 was finished already"
}
goes_on() { # FOLDER: on another number of ranks; the first stage is not repeated
    expect 0 env RANKS=1 bash "$cascade" base up $number "$work/$1" --batch 1 --steps 5 -- --batch 1 --seed 3
    prints "$work/$1/base.png is there already"
    counts 0 "samples of base"
    for stage in base samples; do expect 0 cmp calm/$stage.npz "$1/$stage.npz"; done
}

begin killed
kill -9 "$(pgrep -n -f "^$iddpm sample up[^ ]* .*$work/killed/samples.png")"
ends 137 killed
goes_on killed

begin stopped
kill -TERM $script
ends 75 stopped
goes_on stopped

refuse() { # TEXT ARGUMENT ...
    local text=$1
    shift
    expect 2 env RANKS=1 bash "$cascade" "$@"
    says "$text"
    [ ! -e refused/samples.npz ] || complain "a refused cascade left images"
}
refuse "usage: BASE UPSAMPLER N FOLDER"
refuse "usage: BASE UPSAMPLER N FOLDER" base up refused
refuse "usage: BASE UPSAMPLER N FOLDER" base up none refused
refuse "is no super-resolution model" base base 2 refused --steps 2
finish
