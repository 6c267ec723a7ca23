# Figures and report of a study from the command line, before anything was collected.
. "$(dirname "$0")/../support/shell.sh"
cd "$work" || exit 1
command -v gnuplot >/dev/null || exit 77

cp "$here/jobs/configs/digits.yaml" .
cat >s.yaml <<END
study: studies/s
title: 'digits <small> & "quick"'
base: digits.yaml
grid: {num_channels: [32, 64]}
budget: {steps: 100}
evaluate:
  - {nll: curve, data: data/digits-test, images: 30}
END

expect 2 "$iddpm" study figures
expect 2 "$iddpm" study figures nowhere.yaml
expect 0 "$iddpm" study figures --help
prints "FILE|STUDY"

# Without the data set and any result: what the schedules give.
expect 0 "$iddpm" study figures s.yaml
prints "nothing was collected yet"
prints "left out: noised: data/digits: no such folder"
prints "left out: compute: no likelihood was collected yet"
for name in variance-ratio alpha-bar; do
    for ending in png svg csv; do [ -s "studies/s/figures/$name.$ending" ] || complain "no figures/$name.$ending"; done
done
counts 10 "left out"

expect 0 "$iddpm" import digits data/digits
expect 0 "$iddpm" study report s.yaml
prints "wrote studies/s/report.html"
[ -s studies/s/figures/noised.png ] || complain "no figures/noised.png"
grep -q "num_channels-64" studies/s/report.html || complain "a point is not in the report"
grep -q "<h1>digits &lt;small&gt; &amp; &quot;quick&quot;</h1>" studies/s/report.html || complain "the title is not escaped"
[ "$(grep -o "<img " studies/s/report.html | wc -l)" = 3 ] || complain "the report has not 3 figures"
if command -v xmllint >/dev/null; then expect 0 xmllint --noout studies/s/report.html; fi
cp studies/s/report.html before.html
expect 0 "$iddpm" study report s.yaml
cmp -s before.html studies/s/report.html || complain "the report differs when it is made again"
[ -z "$(find studies -name '*.tmp*')" ] || complain "left behind: $(find studies -name '*.tmp*')"

# A damaged collection is named.
echo damaged >studies/s/results.h5
expect 1 "$iddpm" study figures s.yaml
says "results.h5"
finish
