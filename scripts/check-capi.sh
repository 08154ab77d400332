#!/bin/bash
# Builds the C library, compiles the programs of examples/c and the test of all functions against it, and runs them: under
# valgrind where that is installed, without errors and leaks.
#
#     scripts/check-capi.sh
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# With names, for what valgrind has to say.
cargo rustc --locked --release --package mimi-capi -- -C strip=none
target=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/release
demo=python/mimi_codec/demo

strict=(-Wall -Wextra -Werror -pedantic -O1 -g -Irust/capi/include)
shared=("-L$target" -lmimi "-Wl,-rpath,$target")
"${CC:-cc}" -std=c11 "${strict[@]}" rust/capi/tests/api.c -o "$work/api" "${shared[@]}" -lm -lpthread
"${CC:-cc}" -std=c11 "${strict[@]}" examples/c/encode.c -o "$work/encode" "${shared[@]}"
"${CXX:-c++}" -std=c++17 "${strict[@]}" examples/c/conversations.cpp -o "$work/conversations" "${shared[@]}"
# The same as one file without the shared library.
"${CC:-cc}" -std=c11 "${strict[@]}" examples/c/encode.c -o "$work/encode-static" "$target/libmimi.a" -lm -lpthread -ldl

run=()
if command -v valgrind >/dev/null; then
    run=(valgrind --quiet --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all --error-exitcode=9
        --suppressions=rust/capi/tests/valgrind.supp)
else
    echo "there is no valgrind: the programs run without it"
fi
"${run[@]}" "$work/api" "$demo" "$work/packed"
"${run[@]}" "$work/conversations" "$demo"
# Two seconds of the packaged recording, behind the 44 bytes of its header: 25 frames.
head -c 96044 "$demo/speech.wav" | tail -c +45 >"$work/speech.raw"
"${run[@]}" "$work/encode" "$demo" 8 <"$work/speech.raw" >"$work/codes"
"$work/encode-static" "$demo" 8 <"$work/speech.raw" | cmp - "$work/codes"
[ "$(wc -l <"$work/codes")" = 25 ]
echo "the C library is well"
