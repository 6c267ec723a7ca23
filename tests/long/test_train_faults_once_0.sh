#!/bin/bash
# Every file operation of rank 0 under training fails in turn, once.
exec bash "$(dirname "$0")/../support/train_faults.sh" "$1" every once 0 "${STEP:-1}"
