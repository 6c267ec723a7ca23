#!/bin/bash
# The reference of keys is the table's, and names every key that the carried configurations use.
. "$(dirname "$0")/../support/shell.sh"
reference=$here/jobs/configs/REFERENCE.md

expect 0 "$iddpm" help config --markdown
cmp -s "$work/out" "$reference" || {
    complain "$reference is not current: iddpm help config --markdown > jobs/configs/REFERENCE.md"
    diff "$reference" "$work/out" | head -20
}
expect 0 "$iddpm" help config
for key in image_size channel_mult learn_sigma ema_warmup schedule_sampler leaves keep_every; do
    prints "  $key "
    grep -q "^| \`$key\` |" "$reference" || complain "$reference has no line for $key"
done
finish
