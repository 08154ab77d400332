#!/usr/bin/env bash
# Runs the tests of the codec's streams with device="cuda" on the driver for tests, which needs no GPU. Where MIMI_NVRTC names
# the folder of NVRTC, that is tried beside this driver too.
#
#     scripts/test-cuda.sh            # but for those that take minutes, as they repeat what others show
#     scripts/test-cuda.sh --all
set -euo pipefail
cd "$(dirname "$0")/.."
left_out=(--skip every_length --skip fingerprints --skip chunks::tiny_models)
[ "${1:-}" = --all ] && left_out=()
folder=$(cargo run --locked --quiet --release --package mimi-cuda-testing --example folder)
export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} MIMI_CODEC_TEST_DEVICE=cuda
codec_tests() {
    cargo test --locked --release --package mimi-codec --features cuda "$@"
}
codec_tests --lib session::tests
# Among them those of the device alone, which other runs ignore.
codec_tests --test stream -- --include-ignored "${left_out[@]}"
# NVRTC asks the driver that it finds for its cache. Without MIMI_NVRTC this test passes by itself.
cargo test --locked --release --package mimi-cuda --lib the_real_compiler_is_loaded_and_compiles
