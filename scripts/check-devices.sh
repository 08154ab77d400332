#!/bin/bash
# Checks the types of the codec on candle's CUDA and Metal devices, without either. Nothing is run.
#
#     scripts/check-devices.sh [cuda] [metal]       # both if none is named
#
# CUDA needs nothing: a stand-in for nvcc makes empty outputs.
# Metal needs the sources of the standard library of the rustc in use: rustup's component rust-src, or RUST_SRC, a directory
# with `library/` (Debian's package rust-src of the same version has it below /usr/src/rustc-VERSION). Where they are not to
# be had the check is left out, and the script says so.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

check_cuda() {
    mkdir -p "$work/cuda/bin" "$work/cuda/include"
    cat >"$work/cuda/bin/nvcc" <<'NVCC'
#!/bin/bash
# Answers for its version and makes the files that it is asked for, empty.
case " $* " in
*" --version "*)
    echo "nvcc: NVIDIA (R) Cuda compiler driver"
    echo "Cuda compilation tools, release 13.0, V13.0.88"
    exit 0
    ;;
*" --list-gpu-code "*)
    printf '%s\n' sm_80 sm_90
    exit 0
    ;;
esac
directory=.
output=
inputs=()
while [ $# -gt 0 ]; do
    case "$1" in
    -o | --output-file) output=$2 && shift ;;
    --output-directory | -odir) directory=$2 && shift ;;
    *.cu) inputs+=("$1") ;;
    esac
    shift
done
if [ -n "$output" ]; then
    : >"$output"
else
    for input in "${inputs[@]}"; do : >"$directory/$(basename "${input%.cu}").ptx"; done
fi
NVCC
    chmod +x "$work/cuda/bin/nvcc"
    echo "checking candle-cuda"
    CUDA_HOME="$work/cuda" CUDA_PATH="$work/cuda" NVCC="$work/cuda/bin/nvcc" PATH="$work/cuda/bin:$PATH" \
        CUDARC_CUDA_VERSION=13000 CUDA_COMPUTE_CAP=80 cargo check --release -p mimi-codec --features candle-cuda
}

check_metal() {
    local sysroot source
    sysroot=$(rustc --print sysroot)
    source=${RUST_SRC:-}
    if [ ! -d "$sysroot/lib/rustlib/src/rust/library" ]; then
        if [ -z "$source" ] || [ ! -d "$source/library" ]; then
            echo "metal is left out: the sources of $(rustc --version) are not there (rustup component add rust-src, or RUST_SRC)"
            return 0
        fi
        # A copy of the toolchain with the sources in their place; the one in use stays as it is.
        cp -r "$sysroot" "$work/toolchain"
        mkdir -p "$work/toolchain/lib/rustlib/src/rust"
        cp -r "$source/library" "$work/toolchain/lib/rustlib/src/rust/"
        PATH="$work/toolchain/bin:$PATH"
    fi
    echo "checking metal"
    RUSTC_BOOTSTRAP=1 cargo check --release -Zbuild-std=std,panic_abort --target aarch64-apple-darwin -p mimi-codec --features metal
}

for device in "${@:-cuda metal}"; do
    for each in $device; do
        case "$each" in
        cuda | metal) "check_$each" ;;
        *) echo "expected cuda or metal, got $each" >&2 && exit 2 ;;
        esac
    done
done
