#!/bin/bash
# A job of samples whose k-th write, cut, sync or renaming fails, once or from then on, for every k: it ends with one clear
# message, nothing half-written stays, and the same command comes to the same bytes.
. "$(dirname "$0")/../support/shell.sh"
library=$(cd "$1" && pwd)/tests/libfail_io.so
. "$here/tests/support/tiny_run.sh"

cp run/checkpoints/step-00000004.h5 tiny.h5
draw() { # FILE [NAME=value ...]: under mpirun, so that the program alone gets what is in its environment
    mpirun --oversubscribe -n 1 env "${@:2}" "$iddpm" sample tiny.h5 --num 6 --batch 2 --steps 4 --npz --save-seconds 0 \
        --out "$1" >out 2>err
}
faulty() { # KIND CALL: the number of calls that were made goes to the file `count`
    draw made/a.png LD_PRELOAD="$library" FAIL_IO_FOLDER="$work/made" FAIL_IO_CALL="$2" FAIL_IO_KIND="$1" \
        FAIL_IO_ERRNO=28 FAIL_IO_COUNT="$work/count"
}
draw want.png || complain "$(cat err)"

for kind in once forever; do
    rm -rf made && mkdir made
    faulty $kind 1000 || complain "without a fault: $(cat err)"
    calls=$(cat count) failed=0
    for ((call = 1; call <= calls; call++)); do
        rm -rf made && mkdir made
        faulty $kind $call
        status=$?
        if [ $status != 0 ]; then # else it was the closing of a file that nobody needs any more
            [ $status = 1 ] || complain "$kind, call $call: status $status"
            [ "$(grep -c '^iddpm: [^w]' err)" = 1 ] || complain "$kind, call $call: not one message: $(cat err)"
            grep -q "made/.*: cannot write: No space left on device" err || complain "$kind, call $call said: $(cat err)"
            failed=$((failed + 1))
            draw=draw
        else
            draw=true
        fi
        [ -z "$(find made -name '*.tmp')" ] || complain "$kind, call $call: left $(find made -name '*.tmp')"
        $draw made/a.png || complain "$kind, call $call: does not go on: $(cat err)"
        for ending in npz png; do cmp want.$ending made/a.$ending || complain "$kind, call $call: other bytes"; done
    done
    [ $failed -gt 12 ] || complain "$kind: only $failed of $calls calls made it fail"
done
finish
