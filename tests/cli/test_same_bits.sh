#!/bin/bash
# The same bits on any number of ranks and threads: a short form of the test of the same name in tests/long.
exec bash "$(dirname "$0")/../support/same_bits.sh" "$1" 40 2
