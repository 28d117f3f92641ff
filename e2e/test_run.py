"""`make run` on a machine without a display."""

from __future__ import annotations

import os
import subprocess
import sys

from e2e.harness.browser import ROOT

PICTURE = ROOT / "out/panel.png"
PNG_START = b"\x89PNG\r\n\x1a\n"


def test_without_a_display_the_bank_is_told_and_the_panel_pictured() -> None:
    PICTURE.unlink(missing_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in {"DISPLAY", "WAYLAND_DISPLAY"}}
    run = subprocess.run(
        [sys.executable, "-m", "scripts.run"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    for line in (
        "bank -> alice: pay(<bob ko22>, 10, request='opening-0')",
        "alice -> bank's Purse: withdraw(10)",
        "bank: alice paid bob 5 times 10 dollar: alice 950 dollar, alice 0 apple, bob 550 dollar, bob 30 apple",
        "bank: bob cannot pay 10000: bob has 550 dollar, not 10000",
        "balances: {'alice': {'apple': 20, 'dollar': 850}, 'bob': {'apple': 10, 'dollar': 650}}",
    ):
        assert line in run.stdout
    assert PICTURE.read_bytes().startswith(PNG_START)
