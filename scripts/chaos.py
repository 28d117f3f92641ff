"""``make chaos``: kill everything that can die in the browser, again and again, and tell what was lost.

    make chaos                                   10,000 kills, in rounds of 500
    make chaos ARGS="--minutes 20"               for so long
    make chaos ARGS="--kills 100 --seed 7"       so many, drawn from that seed

Each round has a profile and a seed of its own, and ends with a look at all that was done. Ctrl-C ends the present round
early. What was lost is named below the table.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from e2e.harness.chaos import Account, Chaos

ROUND_KILLS = 500
PROGRESS_S = 10


class Run:
    """The rounds so far, and when to stop."""

    def __init__(self, minutes: float) -> None:
        self.total = Account()
        self.until_s = time.monotonic() + 60 * minutes
        self._told_s = time.monotonic()

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Have the present round end; at the second time, at once."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("stopping: the answers that are due are waited for", flush=True)
        self.until_s = 0

    def round(self, kills: int, seed: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            chaos = Chaos(Path(folder), seed, self._tell)
            try:
                chaos.run(kills, until_s=self.until_s)
            finally:
                chaos.close()
                self.total.add(chaos.account)

    def _tell(self, account: Account) -> None:
        if time.monotonic() - self._told_s < PROGRESS_S:
            return
        self._told_s = time.monotonic()
        kills = self.total.kills.total() + account.kills.total()
        problems = self.total.problems + account.problems
        print(
            f"{kills:7,} kills, {len(problems)} losses{f', the last: {problems[-1]}' if problems else ''}", flush=True
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="make chaos", description="Kill everything, and tell what was lost.")
    parser.add_argument("--kills", type=int, default=10_000, help="how many (default: 10,000)")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="and no more after so long")
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="of the first round (default: from the clock)"
    )
    given = parser.parse_args()
    print(f"{given.kills:,} kills from seed {given.seed}", flush=True)
    run = Run(given.minutes)
    signal.signal(signal.SIGINT, run.stop)
    left, seed = given.kills, given.seed
    try:
        while left > 0 and time.monotonic() < run.until_s:
            run.round(min(left, ROUND_KILLS), seed)
            left, seed = left - ROUND_KILLS, seed + 1
    except KeyboardInterrupt:
        print("\nstopped")
    finally:
        print(f"\n{run.total.table()}")
    return 1 if run.total.problems else 0


if __name__ == "__main__":
    sys.exit(main())
