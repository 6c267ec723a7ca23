# Jobs of samples that are killed or stopped go on where they were, on any number of ranks, and come to the same bytes.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

images=180 record=$((64 + 4)) # of 8x8 pixels and a checksum; the head of the file is as large as 16 of them at most
draw() { # RANKS OPTION ...
    local n=$1
    shift
    if [ "$n" = 1 ]; then
        exec "$iddpm" sample run --num $images --batch 2 --npz "$@"
    else
        exec mpirun --oversubscribe -n "$n" "$iddpm" sample run --num $images --batch 2 --npz "$@"
    fi
}
bytes() { stat -c %s "$1" 2>/dev/null || echo 0; }
# Its number of images in the line "continues ...: N of ..."
continued() { sed -n 's/^continues .*: \([0-9]*\) of .*/\1/p' "$1"; }

(draw 1 --out whole.png >out 2>err) || complain "undisturbed: $(cat out err)"
[ -z "$(find . -name '*.part*')" ] || complain "left behind: $(find . -name '*.part*')"

# A result is there when all of it is, and of these settings.
tiny="sample run --num 3 --steps 2 --out tiny.png"
expect 0 "$iddpm" $tiny --npz
cp tiny.npz first.npz
expect 0 "$iddpm" $tiny
prints "tiny.png is there already, of the same settings"
expect 0 "$iddpm" $tiny --seed 1
prints "wrote tiny.png"
expect 0 "$iddpm" $tiny --seed 1 --npz # tiny.npz is still that of the other seed
prints "wrote tiny.npz"
cmp -s tiny.npz first.npz && complain "another seed gives the same images"
expect 0 "$iddpm" $tiny --seed 1 --npz --again
prints "wrote tiny.npz"

# RANKS SIGNAL IMAGES: ended when that many images are finished
least=0 chains=0
check_start() { # what a job has taken from the one before
    local found
    found=$(continued out)
    [ "${found:-0}" -ge "$least" ] || complain "images were lost before '$1': ${found:-0} of $least: $(cat out)"
    [ "$chains" = 0 ] || grep -qE "chains of ($chains|0) batches begun" out || # 0: they were through
        complain "a stop has not kept the chains of $chains ranks before '$1': $(cat out)"
}
for stop in "1 KILL 30" "3 USR1 60" "2 KILL 90" "1 TERM 120"; do
    read -r n signal upto <<<"$stop"
    draw "$n" --out again.png --save-seconds 0 >out 2>err &
    pid=$!
    wait_for eval "[ \$(bytes again.png.part) -ge $((upto * record)) ] || ! kill -0 $pid"
    victim=$pid
    [ "$n" = 1 ] || victim=$(pgrep -P $pid | tail -n 1)
    kill -"$signal" "$victim"
    wait $pid 2>"$work/err"
    status=$?
    [ "$signal" = KILL ] || [ "$status" = 75 ] || complain "status $status after SIG$signal: $(cat out err)"
    [ ! -e again.npz ] && [ ! -e again.png ] || complain "a job that was stopped has a result: $stop"
    check_start "$stop"
    least=$((upto - 16)) chains=$n
    [ "$signal" != KILL ] || chains=0
done
draw 3 --out again.png >out 2>err || complain "the last part: $(cat out err)"
check_start "the end"
expect 0 cmp whole.npz again.npz
expect 0 cmp whole.png again.png
[ -z "$(find . -name 'again*.part*' -o -name '*.tmp')" ] || complain "left behind: $(find . -name '*.part*' -o -name '*.tmp')"

# Chains that are through when the signal comes are images: here each has one step.
for what in "--npz --out KIND.png" "--encode digits --out KIND.npz"; do
    options="--num 1400 --batch 50 --start-step 0 ${what/digits/$work/digits}"
    [[ $what != --encode* ]] || options="--num 1400 --batch 50 --steps 2 ${what/digits/$work/digits}"
    expect 0 "$iddpm" sample run ${options/KIND/all}
    "$iddpm" sample run ${options/KIND/some} >out 2>err &
    pid=$!
    wait_for eval "[ -s some.${what##*.}.part ] || ! kill -0 $pid"
    kill -TERM $pid
    wait $pid 2>"$work/err"
    status=$?
    [ "$status" = 75 ] || complain "status $status after SIGTERM: $(cat out err)"
    expect 0 "$iddpm" sample run ${options/KIND/some}
    expect 0 cmp all.npz some.npz
done

# Two jobs do not draw into one result.
"$iddpm" sample run --num 9000 --batch 2 --out busy.png >out 2>err &
pid=$!
wait_for test -s busy.png.part
expect 2 "$iddpm" sample run --num 9000 --batch 2 --out busy.png --seed 3
says "busy.png.part: another job is drawing these images"
kill -TERM $pid
wait $pid
[ $? = 75 ] || complain "the job that had the file: $(cat err)"

# No room: a clear message, nothing half-written, and the same command continues.
(
    trap '' XFSZ
    ulimit -f 10
    draw 1 --out full.png >out 2>err
)
[ $? = 1 ] || complain "it ended well without room: $(cat out err)"
grep -q "full.png.part: cannot write: File too large; what is done is kept" err || complain "it said: $(cat err)"
mkdir full.npz # its name is taken
expect 1 "$iddpm" sample run --num $images --batch 2 --npz --out full.png
prints "continues full.png.part: 1"
says "full.npz: cannot write"
rmdir full.npz
[ -z "$(find . -name '*.tmp')" ] || complain "left behind: $(find . -name '*.tmp')"

# Of other settings nothing is taken.
cp full.png.part other.png.part
expect 0 "$iddpm" sample run --num $images --batch 2 --out other.png --seed 9
says "other.png.part is of a job with another seed; it is kept as other.png.part.old"
expect 0 cmp full.png.part other.png.part.old
expect 0 "$iddpm" sample run --num $images --batch 2 --npz --out full.png
prints "continues full.png.part: $images of $images images are done"
expect 0 cmp whole.npz full.npz
finish
