#!/bin/bash
# src/base, config, kernels and diffusion are compiled for aarch64 and pass their unit tests there (toolchain.cmake).
set -euo pipefail
cd "$(dirname "$0")/../.."
. jobs/build.sh
build build-aarch64 all --preset aarch64
ctest --test-dir build-aarch64 --output-on-failure --no-tests=error --parallel "$(nproc)"
