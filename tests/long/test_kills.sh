#!/bin/bash
# Twenty kills at random moments of training and checkpointing.
exec bash "$(dirname "$0")/../support/kills.sh" "$1" 20 "${SEED:-2}"
