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

echo damaged >run/nll/step-00000009.h5
expect 1 "$iddpm" plot run
says "step-00000009.h5"
[ -z "$(find run -name '*.tmp*')" ] || complain "left behind: $(find run -name '*.tmp*')"
finish
