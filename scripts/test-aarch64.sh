#!/usr/bin/env bash
# Runs the tests of the kernels and of the codec for aarch64 under qemu: NEON, and plain Rust beside it.
#
#     rustup target add aarch64-unknown-linux-gnu
#     apt install gcc-aarch64-linux-gnu qemu-user libc6-arm64-cross
#     scripts/test-aarch64.sh            # but for those that take long, as they repeat what others show
#     scripts/test-aarch64.sh --all
#
# Another linker or emulator is named in the variables that cargo has for them.
set -euo pipefail
cd "$(dirname "$0")/.."
left_out=(--skip every_length --skip fingerprints --skip chunks::tiny_models)
[ "${1:-}" = --all ] && left_out=()
target=aarch64-unknown-linux-gnu
: "${CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER:=aarch64-linux-gnu-gcc}"
: "${CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER:=qemu-aarch64 -L /usr/aarch64-linux-gnu}"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER
cargo test --locked --release --target "$target" --package mimi-kernels --lib --test kernels
cargo test --locked --release --target "$target" --package mimi-codec --lib
cargo test --locked --release --target "$target" --package mimi-codec --test stream -- "${left_out[@]}"
