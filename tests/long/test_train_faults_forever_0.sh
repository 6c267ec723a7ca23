#!/bin/bash
# Every file operation of rank 0 under training fails in turn, and all after it.
exec bash "$(dirname "$0")/../support/train_faults.sh" "$1" every forever 0 "${STEP:-1}"
