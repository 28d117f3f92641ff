#!/usr/bin/env bash
# Compiles the guests written in C: of examples/wasm/src, tests/wasm/modules and tests/hosts/vats. Needs clang and lld with the wasm32 target
# (Debian: apt-get install clang lld); clang 14 gives the very bytes that are in the repository, so that nobody else needs
# it. scripts/guests.sha256 ties sources and binaries together; a test compares.

set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
  clang --target=wasm32 -std=c17 -Os -Wall -Wextra -Werror -nostdlib -ffreestanding -fno-builtin -mbulk-memory \
    -Iexamples/wasm/src -Wl,--no-entry -Wl,--strip-debug -Wl,-z,stack-size=16384 -Wl,--initial-memory=262144 \
    -o "$2" "$1"
  chmod 644 "$2"
  echo "$2"
}

compile examples/wasm/src/counter.c examples/wasm/counter_c.wasm
compile tests/wasm/modules/puppet.c tests/wasm/modules/puppet.wasm
compile tests/hosts/vats/conforming.c tests/hosts/vats/conforming.wasm
sha256sum scripts/guests.sh examples/wasm/src/* examples/wasm/counter_c.wasm tests/wasm/modules/puppet.* \
  tests/hosts/vats/conforming.{c,wasm} > scripts/guests.sha256
