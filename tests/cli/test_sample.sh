# Samples from the command line: picture and archive, the same on any number of ranks, classes, noise, refusals.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

expect 0 "$iddpm" sample run --steps 2
prints "wrote run/samples/step-00000004-2.png"
expect 0 "$iddpm" sample run --num 7 --batch 2 --npz
prints "7 samples of run, ema/0.5 of step 4, 20 steps"
picture=run/samples/step-00000004-num7.png archive=${picture%.png}.npz
prints "wrote $picture"
prints "wrote $archive"
for n in 2 3; do
    expect 0 ranks "$n" sample run --num 7 --batch 2 --npz --out made/on$n.png
    expect 0 cmp "$picture" made/on$n.png
    expect 0 cmp "$archive" made/on$n.npz
done
head -c 8 made/on2.png | od -An -tx1 | grep -q "89 50 4e 47 0d 0a 1a 0a" || complain "made/on2.png is no PNG"

# What is written can be imported as a data set, so it is an NPZ file of uint8 images.
expect 0 "$iddpm" import npz made/on2.npz samples
expect 0 "$iddpm" info samples
prints "7 of 8x8"

# Options change the images, or say so.
differ() { cmp -s "$1" "$2" && complain "$1 and $2 are the same"; }
expect 0 "$iddpm" sample run --num 7 --batch 2 --npz --out seed.png --seed 1
expect 0 "$iddpm" sample run --num 7 --batch 2 --npz --out ddim.png --ddim --steps 5
prints "5 DDIM steps"
expect 0 "$iddpm" sample run --num 7 --batch 2 --npz --out eta.png --ddim --steps 5 --eta 1
expect 0 "$iddpm" sample run --num 7 --batch 2 --npz --out params.png --weights params
for name in seed ddim eta params; do differ "$archive" $name.npz; done
differ ddim.npz eta.npz
expect 0 "$iddpm" sample run --num 2 --ddim --steps 5 --eta 0.5 --weights ema/0.9 --seed 3 --no-clip
prints "wrote run/samples/step-00000004-ema-0.9-5-ddim-eta0.5-num2-noclip-seed3.png"

# A prefix of the chain can be left out: from the last timestep on it is the whole chain, from another one it is not.
expect 0 "$iddpm" sample run --num 7 --batch 2 --npz --out last.png --ddim --steps 5 --start-step 4
prints "5 DDIM steps"
expect 0 cmp last.npz ddim.npz
expect 0 "$iddpm" sample run --num 2 --steps 5 --start-step 3
prints "of step 4, 4 steps"
prints "wrote run/samples/step-00000004-5-start3-num2.png"

# Noise from a file: the seed does not matter any more.
if command -v h5import >/dev/null; then
    seq 1 $((6 * 2 * 64)) | awk '{printf "%.3f\n", ($1 * 7919 % 2000) / 1000 - 1}' >noise.txt
    printf 'PATH noise\nINPUT-CLASS TEXTFP\nRANK 5\nDIMENSION-SIZES 6 2 8 8 1\nOUTPUT-CLASS FP\nOUTPUT-SIZE 32\n' >noise.conf
    expect 0 h5import noise.txt -c noise.conf -o noise.h5
    expect 0 "$iddpm" sample run --num 2 --steps 5 --noise noise.h5 --npz --out given1.png --seed 1
    expect 0 "$iddpm" sample run --num 2 --steps 5 --noise noise.h5 --npz --out given2.png --seed 2
    expect 0 cmp given1.npz given2.npz
    expect 0 "$iddpm" sample run --num 2 --steps 5 --noise ./noise.h5
    prints "wrote run/samples/step-00000004-5-num2-noise-noise.h5.png"
    ln -s noise.h5 "$(printf 'n%.0s' {1..190}).h5"
    expect 2 "$iddpm" sample run --num 2 --steps 5 --noise nnn*.h5
    says "too long"
    expect 2 "$iddpm" sample run --num 3 --steps 5 --noise noise.h5
    says "noise.h5: noise of 6 draws of 2 images of 64 elements; needed are 6 draws of 3 images of 64 elements"
fi

# Classes.
tiny_run classes class_cond=true
expect 0 "$iddpm" sample classes --num 4 --class 3 --npz --out three.png
expect 0 "$iddpm" import npz three.npz three
expect 0 "$iddpm" sample classes --num 4 --npz --out any.png
differ three.npz any.npz

refuse() { # STATUS TEXT ARGUMENT ...
    local status=$1 text=$2
    shift 2
    expect "$status" "$iddpm" sample "$@"
    says "$text"
    says_lines 1
}
refuse 2 "nowhere: no such run folder or checkpoint" nowhere
refuse 2 'has no weights "ema/1"' run --weights ema/1
refuse 2 "is not class-conditional" run --class 3
refuse 2 "has the classes 0 to 9, not 10" classes --class 10
refuse 2 "give --ddim" run --eta 0.5
refuse 2 "give one of them" run --steps 5 --respacing 5
refuse 2 "must end in .png" run --out samples.jpg
refuse 2 "--num: found '0'" run --num 0
refuse 2 "--eta: found '2'" run --ddim --eta 2
refuse 2 "timestep_respacing" run --steps 1
refuse 2 "--start-step 5: the timesteps of this chain are 0 to 4" run --steps 5 --start-step 5
refuse 1 "cannot make this folder" run --out tiny.yaml/x/result.png
refuse 2 "float32 or float64" run --noise three.npz

# Images to enlarge are for models that do so.
refuse 2 "is no super-resolution model: it takes no images such as three.npz" run --base three.npz
refuse 1 "nothing.npz" run --base nothing.npz

stops USR1 "100000 samples" "$iddpm" sample run --num 100000 --out stopped.png
[ ! -e stopped.png ] || complain "a stopped job has written its result"
[ -z "$(find . -name '*.tmp*')" ] || complain "left behind: $(find . -name '*.tmp*')"
finish
