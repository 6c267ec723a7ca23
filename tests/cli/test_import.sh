#!/bin/bash
# iddpm import: every source, what is said of bad input, nothing left behind.
. "$(dirname "$0")/../support/shell.sh"
awkward=$here/tests/data/image-folder-awkward
cifar10=$here/tests/data/cifar10-format
cd "$work" || exit 1

# the program needs nothing beside itself for the digits
cp "$iddpm" ./moved
expect 0 ./moved import digits digits/train
prints "digits/train: 1497 images, 10 classes, 16 shards, 0 skipped"
says_lines 0
[ "$(ls digits/train)" = "$(echo index.json; for s in {00..15}; do echo "shard-00$s.h5"; done)" ] ||
    complain "digits/train holds: $(ls digits/train)"
rm moved
expect 0 "$iddpm" import digits digits/test --split test --shards 4
prints "digits/test: 300 images, 10 classes, 4 shards, 0 skipped"
grep -q '"license": "CC BY 4.0"' digits/test/index.json || complain "the index does not name the licence"

# files are the same every time
expect 0 "$iddpm" import digits digits/again --split test --shards 4
diff -r digits/test digits/again >/dev/null || complain "two imports of the same digits differ"

# a data set is never overwritten, nor is anything else
cp digits/test/index.json before
expect 2 "$iddpm" import digits digits/test
says "digits/test: holds a data set already"
says_lines 1
cmp -s before digits/test/index.json || complain "the data set was touched"
mkdir home && echo precious >home/letter
expect 2 "$iddpm" import digits home
says "home: holds other files (letter)"
[ "$(ls home)" = letter ] || complain "home holds: $(ls home)"

# CIFAR-10: the carried files have 100 records where the real ones have 10,000
expect 0 "$iddpm" import cifar10 "$cifar10" cifar
prints "cifar: 500 images, 10 classes, 16 shards, 0 skipped"
says "data_batch_3.bin: 100 records where CIFAR-10 has 10000"
expect 1 "$iddpm" import cifar10 "$cifar10" cifar-strict --strict
says "data_batch_1.bin: 100 records where CIFAR-10 has 10000: the file is short"
[ ! -e cifar-strict ] || complain "cifar-strict is left"
mkdir short && cp "$cifar10"/* short && truncate -s 300000 short/data_batch_4.bin
expect 1 "$iddpm" import cifar10 short cifar-short
says "short/data_batch_4.bin: 300000 bytes are 97 records of 3073 bytes and 1919 bytes more"
[ ! -e cifar-short ] || complain "cifar-short is left"
rm short/data_batch_2.bin
expect 1 "$iddpm" import cifar10 short cifar-short
says "short/data_batch_2.bin: cannot open"

# folders: every good picture in, every other named and counted
expect 0 "$iddpm" import folder "$awkward" folder --size 32
prints "folder: 31 images, 11 classes, 16 shards, 4 skipped"
prints "readme.txt: left out: its name has no ending of a picture"
for bad in "bad_crc.png: damaged PNG: wrong checksum (CRC)" "bad_empty.jpg: the file is empty" \
    "bad_nonimage.png: not a picture" "bad_truncated.png: damaged PNG: the file is cut short"; do
    says "$awkward/$bad"
done
counts 4 "skipped: "
expect 1 "$iddpm" import folder "$awkward" strict --size 32 --strict
says "$awkward/bad_"
says_lines 1
[ ! -e strict ] || complain "strict is left"
cp -r "$awkward" with-gif && printf 'GIF89a' >with-gif/cat_9.GIF
expect 0 "$iddpm" import folder with-gif gif --size 8
says "cat_9.GIF: GIF pictures are not read"
prints "5 skipped"

# NPZ
expect 0 "$iddpm" import npz "$here/tests/data/npz/compressed.npz" npz
prints "npz: 6 images, 3 classes, 6 shards, 0 skipped"
expect 1 "$iddpm" import npz "$cifar10/data_batch_1.bin" npz-bad
says "data_batch_1.bin: not an NPZ file or damaged"

# wrong use
wrong() { # TEXT ARGUMENT ...
    local text=$1
    shift
    expect 2 "$iddpm" import "$@"
    says "$text"
    says_lines 1
}
wrong "something is missing" digits
wrong "'birds' cannot be imported; digits, cifar10, folder, lsun and npz can" birds here there
wrong "usage: iddpm import cifar10 SOURCE DATA" cifar10 there
wrong "--size N is needed" folder "$awkward" x
wrong "--size: found 'big'" folder "$awkward" x --size big
wrong "--split dev" digits x --split dev
wrong "301 shards are more than there are images (300)" digits x --split test --shards 301
[ ! -e x ] || complain "x is left"

# stopped by a signal it saves what is done, and goes on to the same files; other options are refused meanwhile; killed it
# leaves nothing that passes for a data set
mkdir many
for i in {1..60}; do cp "$awkward/photo_600x400.png" "many/photo_$i.png"; done
"$iddpm" import folder many stopped --size 64 >out 2>err &
sleep 0.3
kill -TERM $!
wait $!
[ $? = 75 ] || complain "a stopped import does not end with status 75"
grep -q "stopped by signal 15 .* of 60 images; run the same command again to continue" err ||
    complain "a stopped import says: $(cat err)"
expect 1 "$iddpm" verify stopped
prints "no data set"
wrong "stopped: holds the beginning of another import" folder many stopped --size 32
wrong "stopped: holds the beginning of another import" folder many stopped --size 64 --seed 1
picture=many/$(ls many | head -n 1) # another time of change is another picture
touch -r "$picture" stamp
touch "$picture"
wrong "stopped: holds the beginning of another import" folder many stopped --size 64
touch -r stamp "$picture"
expect 0 "$iddpm" import folder many stopped --size 64
prints "stopped: continues after"
prints "of 60 images"
"$iddpm" import folder many killed --size 64 >out 2>err &
sleep 0.3
kill -KILL $!
wait $! 2>/dev/null
[ ! -e killed/index.json ] || complain "a killed import left an index"
expect 0 "$iddpm" import folder many killed --size 64
prints "killed: 60 images"
diff -r stopped killed >/dev/null || complain "a continued import differs from one in a go"
[ -z "$(find . -name 'import.*' -o -name '*.tmp')" ] || complain "left: $(find . -name 'import.*' -o -name '*.tmp')"

# More shards than a process may usually have files open: importing raises the limit where it may, reading needs few.
few() { expect "$1" bash -c 'ulimit "$0" 256 && exec "$@"' "${@:2}"; } # STATUS LIMIT COMMAND
few 0 -Sn "$iddpm" import digits fine --shards 1400
few 0 -n "$iddpm" verify fine
few 2 -n "$iddpm" import digits refused --shards 1400
says "--shards 1400: needs 1464 open files, but only 256 are allowed here"
[ ! -e refused ] || complain "a refused import leaves $(ls refused)"
finish
