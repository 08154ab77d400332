#!/usr/bin/env bash
# Puts the CUDA driver for tests into a folder: device="cuda" then works on a machine without a GPU, on the host's memory.
#
#     scripts/test-driver.sh FOLDER
#     LD_LIBRARY_PATH=FOLDER MIMI_CODEC_CACHE= pytest ...
#
# It is slow, and finds mistakes: see rust/cuda/testing.
set -euo pipefail
folder=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
built=$(cargo run --locked --quiet --release --package mimi-cuda-testing --example folder)
for library in libmimi_host.so libcuda.so libnvrtc.so.12; do
    cp "$built/$library" "$folder/"
done
ln -sf libcuda.so "$folder/libcuda.so.1"
