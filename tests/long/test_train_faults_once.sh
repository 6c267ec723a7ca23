#!/bin/bash
# Every file operation under training fails in turn, once.
exec bash "$(dirname "$0")/../support/train_faults.sh" "$1" every once
