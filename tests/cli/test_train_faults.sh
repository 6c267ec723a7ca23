#!/bin/bash
# 34 failing file operations under training; tests/long has every one.
exec bash "$(dirname "$0")/../support/train_faults.sh" "$1" sample "${SEED:-1}"
