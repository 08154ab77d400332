#!/usr/bin/env bash
# Runs the tests of the codec's streams with device="cuda" on the driver for tests, which needs no GPU.
#
#     scripts/test-cuda.sh [TEST...]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(cargo run --locked --quiet --release --package mimi-cuda-testing --example folder)
export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} MIMI_CODEC_TEST_DEVICE=cuda
cargo test --locked --release --package mimi-codec --features cuda --lib session::tests -- "$@"
cargo test --locked --release --package mimi-codec --features cuda --test stream -- "$@"
