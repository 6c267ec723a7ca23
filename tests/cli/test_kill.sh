#!/bin/bash
# Three kills at random moments; tests/long/test_kills.sh has twenty.
exec bash "$(dirname "$0")/../support/kills.sh" "$1" 3 1
