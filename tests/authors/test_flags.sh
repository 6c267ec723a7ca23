#!/bin/bash
# The released models' configurations have exactly the flags of the authors' README, and the defaults of their scripts.
[ -n "${IDDPM_AUTHORS:-}" ] || { echo "IDDPM_AUTHORS is not set to a checkout of openai/improved-diffusion"; exit 77; }
. "$(dirname "$0")/../support/shell.sh"
expect 0 env PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 "$here/tests/authors/flags.py" "$iddpm" "$here/jobs/configs"
finish
