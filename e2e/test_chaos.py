"""Everything that can die dies, many times, at any moment and between any two operations of the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.harness.chaos import WEIGHTS, Chaos

KILLS = 200
SEED = 20


@pytest.mark.soak
def test_nothing_is_lost_or_done_twice_when_everything_is_killed_200_times(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, SEED)
    try:
        chaos.run(KILLS)
    finally:
        chaos.close()
    account = chaos.account
    assert account.problems == [], account.table()
    assert set(account.kills) == set(WEIGHTS), account.table()
    # It is about vats that come back from snapshots, and about all of the loads.
    assert account.done["vats seen to come from a snapshot"] > 0, account.table()
    assert all(account.done[what] > 0 for what in ("pay", "say", "wait", "release", "sell")), account.table()
