# Pictures of a run from the command line.
. "$(dirname "$0")/../support/shell.sh"
. "$here/tests/support/tiny_run.sh"

is_png() { head -c 8 "$1" | od -An -tx1 | grep -q "89 50 4e 47 0d 0a 1a 0a" || complain "$1 is no PNG"; }

mkdir empty
expect 2 "$iddpm" plot nowhere
says "nowhere: no such run folder"
expect 2 "$iddpm" plot empty
says "empty has nothing to draw: neither progress.csv nor results in nll/"
expect 2 "$iddpm" plot
says_lines 1

# Without gnuplot: one line that names the package, and no picture.
expect 1 env PATH="$work/empty" "$iddpm" plot run
says "gnuplot-nox"
says_lines 1
[ -z "$(find run -name '*.png*')" ] || complain "pictures without gnuplot: $(find run -name '*.png*')"
command -v gnuplot >/dev/null || finish

expect 0 "$iddpm" plot run
prints "wrote run/loss.png"
counts 1 "wrote"
is_png run/loss.png
expect 0 "$iddpm" nll run --num 4
expect 0 "$iddpm" nll run --num 4 --respacing 5 --weights params
touch run/nll/notes.txt
expect 0 "$iddpm" plot run/
prints "loss.png"
prints "vb-terms.png"
is_png run/vb-terms.png

# A stratum is drawn at its middle: of 20 timesteps in two, 0 alone and 1 to 19.
mkdir between two two/nll
printf '#!/bin/sh\ntee "%s/script" | %s "$@"\n' "$work" "$(command -v gnuplot)" >between/gnuplot
chmod +x between/gnuplot
expect 0 "$iddpm" nll run --num 4 --strata 2 --out two/nll/strata.h5
expect 0 env PATH="$work/between:$PATH" "$iddpm" plot two
is_png two/vb-terms.png
grep -q "2 strata" script || complain "the script does not tell of strata: $(head -c 2000 script)"
[ "$(sed -n '/^\$result_0/,/^END/p' script | grep -oE '^[0-9.]+ ' | tr -d '\n')" = "10 0 " ] ||
    complain "not at the middles: $(sed -n '/^\$result_0/,/^END/p' script)"

echo damaged >run/nll/step-00000009.h5
expect 1 "$iddpm" plot run
says "step-00000009.h5"
[ -z "$(find run -name '*.tmp*')" ] || complain "left behind: $(find run -name '*.tmp*')"
finish
