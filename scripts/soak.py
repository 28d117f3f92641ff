"""``make soak``: the tests marked ``soak``, round after round, until the time is up or Ctrl-C.

    make soak                           for an hour
    make soak ARGS="--hours 8"          for so long
    make soak ARGS="--seed 7 --rounds 1 -k model"    one round, drawn from that seed, of tests of that name

Each round runs every test marked ``soak(seeded=True)`` in a process of its own. They draw from $SOAK_SEED, which is
other in each round. The others, by file, run in the first round only, since they would do the same again. A failure
does not end it: its output is kept, and the report says where, and how to see it again.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "out" / "soak"
SEEDS_PER_ROUND = 1_000
"""A test may use so many seeds from the one that it is given."""

SEEDED = "soak(seeded=True)"
OTHERS = f"soak and not {SEEDED}"

_TALLY = re.compile(r"^.+: [\d,]+ .+$")


@dataclass
class Soak:
    """What was run so far."""

    rounds: int = 0
    runs: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def report(self) -> None:
        print(f"\n== {self.rounds} rounds")
        for test, runs in self.runs.items():
            print(f"{runs:6} x  {self.seconds[test]:9,.0f} s  {test}")
        print("\n".join(self.failures) or "nothing failed")


def _pytest(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pytest", "-q", *arguments]


def collect(mark: str, words: str) -> list[str]:
    """The ids of the tests with a mark, as pytest's -m has it, and with these words, if any, as its -k has them."""
    named = ["-k", words] if words else []
    done = subprocess.run(
        _pytest("--collect-only", "-m", mark, *named), cwd=ROOT, text=True, capture_output=True, check=False
    )
    if done.returncode not in {0, 5}:  # 5: there is none
        raise SystemExit(done.stdout + done.stderr)
    return [line for line in done.stdout.splitlines() if "::" in line]


def run(test: str, mark: str, words: str, seed: int, soak: Soak) -> None:
    """Run one test, or those of one file, and enter what came of it."""
    started = time.monotonic()
    environment = {**os.environ, "SOAK_SEED": str(seed)}
    command = _pytest("-m", mark, *(["-k", words] if words else []), test)
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    took_s = time.monotonic() - started
    soak.runs[test] = soak.runs.get(test, 0) + 1
    soak.seconds[test] = soak.seconds.get(test, 0) + took_s
    print(f"{'passed' if done.returncode == 0 else 'FAILED'} {took_s:7.0f} s  {test}, seed {seed}", flush=True)
    for line in done.stdout.splitlines():
        if _TALLY.match(line):
            print(f"                  {line}", flush=True)
    if done.returncode != 0:
        OUT.mkdir(parents=True, exist_ok=True)
        kept = OUT / f"{re.sub(r'[^A-Za-z0-9]+', '-', test)}-{seed}.log"
        kept.write_text(done.stdout + done.stderr, "utf-8")
        again = f'make soak ARGS="--seed {seed} --rounds 1 -k {Path(test.rpartition("::")[2]).stem}"'
        soak.failures.append(f"FAILED {test}: {kept.relative_to(ROOT)}; again: {again}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description="Run the tests marked soak for long.")
    parser.add_argument("--hours", type=float, default=1.0, help="begin no test after so long (default: 1)")
    parser.add_argument("--rounds", type=int, default=sys.maxsize, help="and no round after so many")
    parser.add_argument("--seed", type=int, help="of the first round (default: from the clock)")
    parser.add_argument("-k", dest="words", default="", help="only tests of these names, as pytest's -k has it")
    given = parser.parse_args()
    seed = int(time.time()) * SEEDS_PER_ROUND if given.seed is None else given.seed
    end = time.monotonic() + 3600 * given.hours
    seeded = collect(SEEDED, given.words)
    others = list(dict.fromkeys(test.partition("::")[0] for test in collect(OTHERS, given.words)))
    print(f"{', '.join([*seeded, *others]) or 'no tests'}: for {given.hours:g} hours from seed {seed}", flush=True)
    soak = Soak()
    try:
        while soak.rounds < given.rounds and time.monotonic() < end:
            first = [(test, OTHERS) for test in others if not soak.rounds]
            for test, mark in [*((test, SEEDED) for test in seeded), *first]:
                if time.monotonic() < end:
                    run(test, mark, given.words, seed, soak)
            soak.rounds += 1
            seed += SEEDS_PER_ROUND
            if not seeded:
                break
    except KeyboardInterrupt:
        print("\nstopped")
    soak.report()
    return 1 if soak.failures else 0


if __name__ == "__main__":
    sys.exit(main())
