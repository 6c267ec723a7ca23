#!/bin/bash
# Every file operation under training fails in turn, and all after it.
exec bash "$(dirname "$0")/../support/train_faults.sh" "$1" every forever
