#!/usr/bin/env bash
# Compiles the guests written in C: examples/wasm/src and tests/wasm/modules. Needs clang and lld with the wasm32 target
# (Debian: apt-get install clang lld). The binaries are in the repository, so that nobody else needs these.

set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  clang --target=wasm32 -std=c17 -Os -Wall -Wextra -Werror -nostdlib -ffreestanding -fno-builtin -mbulk-memory \
    -Iexamples/wasm/src -Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=16384 -Wl,--initial-memory=262144 \
    -o "$2" "$1"
  echo "$2"
}

#compile examples/wasm/src/market.c examples/wasm/market.wasm
compile tests/wasm/modules/puppet.c tests/wasm/modules/puppet.wasm
