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

# Without learned variances DDIM of eta 1 is the ancestral chain, of the variances of the strided schedule (Song et al.
# 2020, eq. 16), but for rounding; of another eta it is not.
farthest() { cmp -l "$1" "$2" | awk 'function n(o) { return int(o / 100) * 64 + int(o % 100 / 10) * 8 + o % 10 }
    { d = n($2) - n($3); d = d < 0 ? -d : d } d > most { most = d } END { print most + 0 }'; }
pixels() { tail -c +188 "$1" | head -c $((${2:-7} * 64)); } # of 7 images in such an archive
tiny_run small learn_sigma=false sigma_small=true
for options in "" "--ddim --eta 1" "--ddim --eta 0.5"; do
    expect 0 "$iddpm" sample small --num 7 --batch 2 --npz --out p.png --steps 4 $options
    pixels p.npz >"p$options.raw"
done
[ "$(farthest p.raw "p--ddim --eta 1.raw")" -le 1 ] || complain "DDIM of eta 1 is not the ancestral chain"
[ "$(farthest p.raw "p--ddim --eta 0.5.raw")" -gt 8 ] || complain "DDIM of eta 0.5 is the ancestral chain"

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
    # With learned variances the means are those of DDIM of eta 1 as well, the variances are others.
    awk 'NR > 128 { $0 = 0 } { print }' noise.txt >none.txt
    expect 0 h5import none.txt -c noise.conf -o none.h5
    for name in noise none; do
        [ $name = noise ] || expect 0 "$iddpm" sample run --num 2 --steps 5 --noise none.h5 --npz --out given1.png
        pixels given1.npz 2 >learned.raw
        expect 0 "$iddpm" sample run --num 2 --steps 5 --noise $name.h5 --npz --out given.png --ddim --eta 1
        pixels given.npz 2 >$name.raw
        far=$(farthest learned.raw $name.raw)
        [ $name = none ] && [ "$far" -gt 1 ] && complain "learned variances have other means: $far"
        [ $name = noise ] && [ "$far" -lt 4 ] && complain "learned variances are the small ones: $far"
    done
    expect 0 "$iddpm" sample run --num 2 --steps 5 --noise ./noise.h5
    prints "wrote run/samples/step-00000004-5-num2-noise-noise.h5.png"
    ln -s noise.h5 "$(printf 'n%.0s' {1..190}).h5"
    expect 2 "$iddpm" sample run --num 2 --steps 5 --noise nnn*.h5
    says "too long"
    expect 2 "$iddpm" sample run --num 3 --steps 5 --noise noise.h5
    says "noise.h5: noise of 6 draws of 2 images of 64 elements; needed are 6 draws of 3 images of 64 elements"
fi

# Classes: of an image that is asked for, else random ones; where both are the same, so is the image.
classes_of() { tail -c $((264 + 8 * $2)) "$1" | head -c $((8 * $2)) | od -An -v -t d8 -w8 | tr -d ' '; } # before the directory
tiny_run classes class_cond=true
expect 0 "$iddpm" sample classes --num 40 --steps 2 --npz --out any.png
[ "$(classes_of any.npz 40 | sort -n | uniq | wc -l)" -ge 8 ] || complain "classes: $(classes_of any.npz 40)"
class=$(classes_of any.npz 40 | head -n 1)
expect 0 "$iddpm" sample classes --num 40 --steps 2 --class "$class" --npz --out one.png
[ "$(classes_of one.npz 40 | uniq -c | tr -s ' ')" = " 40 $class" ] || complain "not of class $class: $(classes_of one.npz 40)"
differ one.npz any.npz
pixels any.npz 1 >any.raw
pixels one.npz 1 >one.raw
expect 0 cmp any.raw one.raw

# A chain on its way: the last column is the image, whatever their number; what it is taken to be comes to the same end.
expect 0 "$iddpm" sample run --num 2 --batch 2 --npz --progressive 5
prints "wrote run/samples/step-00000004-progressive5-num2.png"
mv run/samples/step-00000004-progressive5-num2.npz way.npz
expect 0 ranks 2 sample run --num 2 --batch 2 --npz --progressive 4 --xstart --out guess.png
pixels "$archive" 1 >end.raw
for name in way guess; do
    columns=$([ $name = way ] && echo 5 || echo 4)
    pixels $name.npz "$columns" | tail -c 64 >$name.raw
    [ "$(farthest end.raw $name.raw)" -le 1 ] || complain "the last column of $name.npz is not the image"
    pixels $name.npz "$columns" | head -c 64 >first.raw
    [ "$(farthest end.raw first.raw)" -gt 8 ] || complain "the first column of $name.npz is the image"
done

# Encoding: the path into noise leads back, the closer the more steps it has; classes go with it.
tiny_run long diffusion_steps=100 total_steps=90 lr=5e-3 ema_rate=0.95 save_interval=90 log_interval=90
expect 0 "$iddpm" sample long --num 1 --steps 20 --npz --out drawn.png
expect 0 "$iddpm" import npz drawn.npz drawn
pixels drawn.npz 1 >drawn.raw
last=384 # whatever it is after 4 steps
for steps in 4 100; do
    expect 0 "$iddpm" sample long --encode drawn --steps $steps
    prints "latents of 1 images of drawn"
    latents=long/latents/step-00000090-drawn-$steps.h5
    prints "wrote $latents"
    expect 0 "$iddpm" sample long --ddim --steps $steps --noise $latents --num 1 --npz --out back.png
    pixels back.npz 1 >back.raw
    off=$(cmp -l drawn.raw back.raw | wc -l) far=$(farthest drawn.raw back.raw)
    [ "$far" -lt $((last * 2 / 3)) ] || complain "$steps steps: a pixel is $far off, after $last; $off are not the same"
    last=$far
done
[ "$last" -le 12 ] || complain "100 steps: a pixel is $last off"
expect 0 ranks 2 sample classes --encode held-out --num 30 --steps 3 --out latents.npz
expect 0 "$iddpm" sample classes --ddim --steps 3 --noise latents.npz --num 30 --npz --out b1.png
[ "$(classes_of b1.npz 30 | sort | uniq -c | wc -l)" -ge 8 ] || complain "classes: $(classes_of b1.npz 30)"

# Images to enlarge: image i of image i, which are begun again; the same on any number of ranks.
tiny_run up model.small_size=4 class_cond=true
cp "$here"/tests/data/npz/base*.npz .
expect 0 "$iddpm" sample up --base base.npz --steps 3 --npz --batch 2
prints "3 samples of up"
mv up/samples/step-00000004-3-base-*.npz up3.npz
expect 0 "$iddpm" sample up --base base.npz --steps 3 --npz --batch 2 --num 7 --out up7.png
expect 0 ranks 3 sample up --base base.npz --steps 3 --npz --batch 2 --num 7 --out on3.png
expect 0 cmp up7.npz on3.npz
pixels up3.npz 3 >up3.raw
pixels up7.npz 3 >up7.raw
expect 0 cmp up3.raw up7.raw
[ "$(classes_of up7.npz 7 | xargs)" = "7 0 4 7 0 4 7" ] || complain "classes of base.npz: $(classes_of up7.npz 7)"
differ up7.npz up3.npz
expect 0 "$iddpm" sample up --base base-plain.npz --class 7 --steps 3 --npz --batch 2 --num 1 --out seven.png
pixels seven.npz 1 >seven.raw
pixels up3.npz 1 >up1.raw
expect 0 cmp up1.raw seven.raw

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
refuse 2 "float32 or float64" run --noise one.npz

# Images to enlarge are for models that do so.
refuse 2 "enlarges images of 4x4 pixels: give them (--base FILE.npz)" up
refuse 2 "has images of 8x8 pixels and 1 channels, but the model" up --base one.npz
refuse 2 "has no classes (arr_1)" up --base base-plain.npz
refuse 2 "give that as well" run --xstart
refuse 2 "a chain of 20 steps cannot be shown in 21 columns" run --progressive 21
refuse 2 "--encode goes with" run --encode digits --eta 1
refuse 2 "must end in .h5 or .npz" run --encode digits --out x.png
refuse 2 "is no super-resolution model: it takes no images such as one.npz" run --base one.npz
refuse 1 "nothing.npz" run --base nothing.npz

stops USR1 "100000 samples" "$iddpm" sample run --num 100000 --out stopped.png
[ ! -e stopped.png ] || complain "a stopped job has written its result"
[ -z "$(find . -name '*.tmp*')" ] || complain "left behind: $(find . -name '*.tmp*')"
finish
