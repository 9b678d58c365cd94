#!/usr/bin/env bash
# Build the libFuzzer target into csrc/fuzz/build/ (ASan, UBSan). CLANG chooses the compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
for clang in ${CLANG:-clang clang-14}; do
	command -v "$clang" >/dev/null && break
done
out=${1:-fuzz/build}
mkdir -p "$out"
# the packet path without its pool (fuzz_pipeline.c brings one of exact blocks) and without I/O
sources=$(ls ./*.c | grep -Ev '/(packet|capture.*|engine.*|fabric|gso.*|iface_.*|pcapng|poller|ring|uring|vnet)\.c$')
# shellcheck disable=SC2086
"$clang" -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Wconversion -Wshadow -Werror \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer \
	${CFLAGS:-} fuzz/fuzz_pipeline.c fuzz/fixture.c $sources -o "$out/fuzz_pipeline"
