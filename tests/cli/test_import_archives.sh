#!/bin/bash
# iddpm import folder ARCHIVE: from tar and zip archives the same bytes as from the folder that they unpack to.
. "$(dirname "$0")/../support/shell.sh"
pictures=$here/tests/data/image-folder-awkward
cd "$work" || exit 1
python=/usr/bin/python3

# names of every kind: folders, one beside a folder of its beginning, one too long for a plain header, ILSVRC's
mkdir -p set/n02 set/n01440764 set/a "set/$(printf 'long%.0s' {1..20})"
cp "$pictures"/cat_00[0-2].png set
cp "$pictures"/nested/dog_00[0-2].jpg set/a
cp "$pictures/cat_003.png" set/a.png
cp "$pictures/cat_004.png" "set/$(printf 'long%.0s' {1..20})/$(printf 'name%.0s' {1..25})_1.png"
cp "$pictures/photo_cmyk.jpg" set/n02/n02_7.JPEG
cp "$pictures/grey_8bit.png" set/n01440764/n01440764_12.JPEG # a PNG by its content
cp "$pictures/bad_truncated.png" set/n02/n02_8.JPEG
cp "$pictures/readme.txt" set

# same DATA: as of the folder but for the name of the source
same() {
    prints "$1: 10 images, 5 classes, 4 shards, 1 skipped"
    cmp -s <(grep -v '"source"' folder/index.json) <(grep -v '"source"' "$1/index.json") || complain "$1: another index"
    for s in 0 1 2 3; do cmp "folder/shard-000$s.h5" "$1/shard-000$s.h5" || complain "$1: another shard"; done
    rm -r "$1"
}
expect 0 "$iddpm" import folder set folder --size 16 --shards 4
prints "folder: 10 images, 5 classes, 4 shards, 1 skipped"
for format in gnu pax oldgnu; do
    tar -c -f "$format.tar" --format "$format" -C set .
    expect 0 "$iddpm" import folder "$format.tar" "from-$format" --size 16 --shards 4
    says "skipped: $format.tar/n02/n02_8.JPEG: damaged PNG: the file is cut short"
    same "from-$format"
done
$python -c 'import shutil; shutil.make_archive("set", "zip", "set")'
expect 0 "$iddpm" import folder set.zip from-zip --size 16 --shards 4
same from-zip
$python - <<'END' # names as unpacking takes them, and one longer than any file's own
import zipfile
with zipfile.ZipFile("set.zip") as whole, zipfile.ZipFile("other.zip", "w") as other:
    for i, name in enumerate(whole.namelist()):
        other.writestr(("./", "/", "")[i % 3] + name, whole.read(name))
    other.writestr("folder/" * 60 + "notes.txt", "")
END
expect 0 "$iddpm" import folder other.zip from-other-zip --size 16 --shards 4
same from-other-zip

# a member that comes twice: the last one counts; archives in an archive, as ILSVRC2012's, lie where they would unpack
cp gnu.tar twice.tar
cp "$pictures/cat_007.png" other.png
tar -r -f twice.tar --transform 's,other.png,./cat_000.png,' other.png
tar -r -f twice.tar -C set ./cat_000.png
expect 0 "$iddpm" import folder twice.tar from-twice --size 16 --shards 4
same from-twice
mkdir flat inner
cp set/n02/* set/n01440764/* flat
for class in n02 n01440764; do tar -c -f "inner/$class.tar" -C "set/$class" $(ls "set/$class"); done
tar -c -f ILSVRC.tar -C inner n02.tar n01440764.tar
expect 0 "$iddpm" import folder flat from-flat --size 64
expect 0 "$iddpm" import folder ILSVRC.tar from-ilsvrc --size 64
prints "from-ilsvrc: 2 images, 2 classes, 2 shards, 1 skipped"
grep -q '"classes": \["n01440764", "n02"\]' from-ilsvrc/index.json || complain "classes: $(cat from-ilsvrc/index.json)"
cmp from-flat/shard-0000.h5 from-ilsvrc/shard-0000.h5 || complain "the inner archives give other images"

# hard links are pictures of their own names; symbolic ones are skipped
mkdir linked
cp "$pictures"/cat_00[0-3].png "$pictures/readme.txt" linked
ln linked/cat_001.png linked/ape_1.png
ln linked/cat_002.png "linked/bee_$(printf 'long%.0s' {1..30}).png"
ln linked/readme.txt linked/licence.txt
expect 0 "$iddpm" import folder linked from-linked --size 16
prints "from-linked: 6 images, 3 classes"
for format in gnu pax; do
    tar -c -f linked.tar --format "$format" --sort=name -C linked .
    expect 0 "$iddpm" import folder linked.tar hard --size 16 --strict
    for s in {0..5}; do cmp "from-linked/shard-000$s.h5" "hard/shard-000$s.h5" || complain "$format: links differ"; done
    rm -r hard
done
ln -s cat_000.png linked/dog_1.png
tar -c -f symbolic.tar -C linked .
expect 0 "$iddpm" import folder symbolic.tar soft --size 16
says "skipped: symbolic.tar/dog_1.png: a symbolic link"
prints "soft: 6 images, 3 classes, 6 shards, 1 skipped"
expect 1 "$iddpm" import folder symbolic.tar strict --size 16 --strict
says "symbolic.tar/dog_1.png: a symbolic link"

# without classes
expect 0 "$iddpm" import folder gnu.tar unlabelled --size 16 --unlabelled
prints "unlabelled: 10 images, 0 classes"

# archives that are cut short, damaged, compressed or none are refused, and nothing is left
refused() { # ARCHIVE TEXT
    expect 1 "$iddpm" import folder "$1" refused --size 16
    says "$1: $2"
    [ ! -e refused ] || complain "$1 leaves $(ls refused)"
}
size=$(tar -t -v -f ILSVRC.tar | awk '{ n += 512 + int(($3 + 511) / 512) * 512 } END { print n }') # without end mark
for bytes in $size $((size - 512)) $((size / 2)) 700; do
    head -c "$bytes" ILSVRC.tar >cut.tar
    refused cut.tar "cut short"
done
gzip -k gnu.tar
refused gnu.tar.gz "not a tar archive; a compressed one is to be unpacked to .tar first"
head -c 4000 set.zip >cut.zip
refused cut.zip "not a ZIP archive or damaged"
(cat gnu.tar && :) >damaged.tar
printf x | dd of=damaged.tar bs=1 seek=10 conv=notrunc status=none
refused damaged.tar "not a tar archive"
finish
