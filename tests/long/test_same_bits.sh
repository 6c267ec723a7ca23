#!/bin/bash
# The same bits on any number of ranks and threads, after 200 steps and ten kills.
exec bash "$(dirname "$0")/../support/same_bits.sh" "$1" 200 10
