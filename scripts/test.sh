#!/usr/bin/env bash
# Everything that CI checks, cheap first; stops at the first step that fails. Each step's output is
# kept in out/logs, and its last line repeated in the summary.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p out/logs

summary=()
finish() {
  printf '\n== summary\n'
  printf '%s\n' "${summary[@]}"
}

step() {
  local name=$1 start=$SECONDS verdict=passed last
  printf '\n== %s\n' "$name"
  make "$name" 2>&1 | tee "out/logs/$name.log" || verdict=FAILED
  last=$(grep -E '^=+ .* in [0-9.]+s.* =+$' "out/logs/$name.log" | tail -n 1 | tr -d '=' || true)
  summary+=("$(printf '%-14s%s %5d s %s' "$name" "$verdict" $((SECONDS - start)) "$last")")
  if [ "$verdict" = FAILED ]; then
    finish
    exit 1
  fi
}

for name in setup lint unit unit-pyodide e2e; do
  step "$name"
done
finish
