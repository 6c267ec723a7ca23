#!/bin/bash
# Checkpoints that cannot be written: training goes on, tries again soon, and ends by store.max_failures.
. "$(dirname "$0")/../support/shell.sh"
. "$(dirname "$0")/../support/tiny_run.sh"

# blocked DIR STEP ...: a checkpoint of these steps cannot be written, as long as a folder has its name
blocked() {
    local dir=$1 step
    [ -d "$dir" ] || tiny_run "$dir" total_steps=1 # a folder of checkpoints without a run would be refused
    for step in "${@:2}"; do mkdir -p "$(printf '%s/checkpoints/step-%08d.h5' "$dir" "$step")"; done
}
free() { rmdir "$1"/checkpoints/*/; } # DIR
saved() { # DIR STEP ...: these checkpoints and nothing else, all sound
    local dir=$1 wanted
    shift
    compgen -G "$dir/checkpoints/*/" >/dev/null && free "$dir"
    wanted=$(printf 'step-%08d.h5 ' "$@")
    [ "$(find "$dir/checkpoints" -type f -printf '%f\n' | sort | tr '\n' ' ')" = "$wanted" ] ||
        complain "$dir has $(ls "$dir/checkpoints"), not $wanted"
    expect 0 "$iddpm" verify "$dir"
}
intervals="save_interval=20 log_interval=2 total_steps=50"

# The checkpoint of step 20 fails, and the tries 2 and 4 steps later; the one 8 steps later stands, well before the next
# interval, and what is trained is the same as without faults.
# shellcheck disable=SC2086
expect 0 ranks 2 train tiny.yaml run.dir=calm $intervals
prints "of the time since the last one"
blocked back 20 22 26
# shellcheck disable=SC2086
expect 0 ranks 2 train tiny.yaml run.dir=back $intervals store.max_failures=2
for try in "20 (interval 1 of 2 in a row, store.max_failures), training goes on, next try at step 22: " \
    "22 (interval 1 of 2 in a row, store.max_failures), training goes on, next try at step 26: " \
    "26 (interval 1 of 2 in a row, store.max_failures), training goes on, next try at step 34: "; do
    counts 1 "no checkpoint at step $try"
done
says "cannot rename to back/checkpoints/step-00000020.h5: Is a directory"
saved back 34 40 50
expect 0 h5diff calm/checkpoints/step-00000050.h5 back/checkpoints/step-00000050.h5 /params

# The next interval comes before the next try. With it the failures are too many: the run ends, and the former checkpoint
# stands. What an error leaves is saved where it can be.
blocked ended 10 11 13 15
expect 1 ranks 2 train tiny.yaml run.dir=ended save_interval=5 log_interval=1 total_steps=50 store.max_failures=2
says "at step 13 (interval 1 of 2"
says "next try at step 15"
counts 1 "no checkpoint since step 5, 2 intervals in a row: ended"
saved ended 1 5
expect 0 ranks 1 train ended total_steps=20
prints "continuing from ended/checkpoints/step-00000005.h5"
saved ended 10 15 20

# One of train.save_steps that fails is tried again too, but is no interval: that many may go wrong in a row.
blocked listed 3
expect 0 ranks 2 train tiny.yaml run.dir=listed save_steps=3,6 save_interval=100 log_interval=1 total_steps=8 \
    store.max_failures=1
counts 1 "no checkpoint at step 3 (interval 0 of 1 in a row, store.max_failures), training goes on, next try at step 4: "
saved listed 4 6 8

# The last checkpoint is tried again with pauses, as often as store.max_failures allows.
blocked last 10
expect 1 ranks 2 train tiny.yaml run.dir=last save_interval=5 total_steps=10 store.max_failures=2
counts 1 "no checkpoint at step 10 (try 1 of 2, store.max_failures), next try in 1 s"
saved last 1 5
blocked last 10
timeout 60 mpirun --oversubscribe -n 2 "$iddpm" train last store.max_failures=6 >out 2>err &
until grep -q "try 1 of 6" err || ! kill -0 $!; do sleep 0.05; done
free last
wait $! || complain "the last checkpoint was not tried again: $(cat out err)"
saved last 1 5 10
finish
