"""Kills of everything that can die, under three loads, and an account of what was lost by it.

The loads are the bank, the auction and the chat of examples/, with requests whose right answers are known. All is drawn
from a seed; the moment at which a process dies is the machine's.
"""

from __future__ import annotations

import ast
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.harness.browser import EXTENSION
from e2e.harness.control import Control
from e2e.harness.fatal import PAGE_SCRIPT, make_fatal
from e2e.harness.plain import PlainChromium
from scripts.examples import read_example

KINDS = {
    "bank": {"bank": "worker", "alice": "iframe", "bob": "worker", "escrow": "iframe"},
    "auction": {"house": "worker", "alice": "iframe", "bob": "worker", "carol": "iframe"},
    "chat": {"room": "iframe", "alice": "worker", "bob": "iframe", "mallory": "worker"},
}

OUTSTANDING_MAX = 30
"""Requests without an answer at a time: those of what is slow to come back pile up."""

SETTLE_S = 240
"""Time for all that is asked to be answered when nothing is killed any more: a page that died is missed after 20 s."""

TRANSACTIONS_MAX = 12
"""The service worker dies at one of so many transactions from now, or from its start."""

REST_KILLS = 10
"""Kills after which the system is left alone for a while: a message whose realm dies under it three times is rejected,
and rightly so, and the kills shall not find the same few messages all the time."""

REST_S = 30
"""Time at rest, at most: less if all but `REST_OUTSTANDING` requests are answered."""

REST_OUTSTANDING = 2

DEATH_MS_MAX = 3_000
"""Time for the kernel to come to the transaction at which it is to die."""

RANDOM = "service worker, at any moment"
BEFORE = "service worker, before a transaction"
AFTER = "service worker, after a transaction"
START = "service worker, at a transaction of its start"
WORKER = "realm in a worker"
IFRAME = "realm in a frame"
VAT_HOST = "offscreen document"
BROWSER = "browser, by SIGKILL"

WEIGHTS = {RANDOM: 40, BEFORE: 40, AFTER: 40, START: 40, WORKER: 16, IFRAME: 8, VAT_HOST: 10, BROWSER: 6}


@dataclass
class Account:
    """What was done, and what came of it."""

    kills: Counter[str] = field(default_factory=Counter)
    transactions: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def fail(self, what: str, problem: str) -> None:
        self.lost[what] += 1
        self.problems.append(f"{what}: {problem}")

    def add(self, other: Account) -> None:
        """Enter what another account says."""
        self.kills.update(other.kills)
        self.transactions.update(other.transactions)
        self.done.update(other.done)
        self.lost.update(other.lost)
        self.problems += other.problems

    def table(self) -> str:
        """The account as text."""
        parts = [("kills", self.kills), ("killed at", self.transactions), ("done", self.done), ("lost", self.lost)]
        lines = [f"kills: {self.kills.total():,}; lost: {self.lost.total():,}"]
        for title, counts in parts:
            lines += ["", title, *[f"  {name:50}{count:8,}" for name, count in sorted(counts.items())]]
        return "\n".join([*lines, *(["", *self.problems] if self.problems else [])])


class Load:
    """Requests to the three clusters, and what their answers must be."""

    def __init__(self, account: Account, chance: random.Random) -> None:
        self.account = account
        self.asked: dict[str, tuple[str, dict[str, Any]]] = {}
        """What has no answer yet, by key."""
        self._checks: dict[str, Callable[[str], bool]] = {}
        self._chance = chance
        self._roots: dict[str, dict[str, str]] = {}
        self._numbers: Counter[str] = Counter()
        self._paid_back = True
        self._payer = "alice"
        self._waiting: list[int] = []
        self._said: dict[str, int] = {}

    @property
    def answerable(self) -> int:
        """How many requests have no answer although nothing is missing for one."""
        return len(self.asked) - len(self._waiting)

    def launch(self, control: Control) -> None:
        for name, kinds in KINDS.items():
            launched = control.request("launch", **read_example(name, kinds))
            by_vat = {vat["vat"]: vat["root"] for vat in control.request("status")["vats"]}
            self._roots[name] = {vat: by_vat[vat_id] for vat, vat_id in launched["vats"].items()}
        self._requests_before = self._audit(control)["requests"]

    def ask(self, control: Control) -> None:
        """Make one request more."""
        self._chance.choices((self._pay, self._say, self._wait, self._release, self._sell), (8, 6, 2, 2, 1))[0](control)

    def release_all(self, control: Control) -> None:
        while self._waiting:
            self._release(control)

    def ask_again(self, control: Control) -> None:
        """Make all that has no answer anew, with the same keys: the page that asked is gone."""
        for key, (method, params) in self.asked.items():
            control.ask(key, method, params)

    def take(self, control: Control) -> None:
        """Look at the answers that have come."""
        for key, answer in control.take().items():
            what = key.partition("-")[0]
            result = answer.get("result", {})
            self.account.done[what] += 1
            del self.asked[key]
            is_right = self._checks.pop(key)
            if result.get("status") != "fulfilled" or not is_right(result["value"]):
                self.account.fail(f"{what} with a wrong answer", f"{key}: {answer}")

    def settle(self, control: Control) -> None:
        """Wait for all answers, and look at what the clusters hold then."""
        self.release_all(control)
        end = time.monotonic() + SETTLE_S
        while self.asked and time.monotonic() < end:
            control.wait_ms(100)
            self.take(control)
        for key in self.asked:
            self.account.fail(f"{key.partition('-')[0]} without an answer", key)
        self._check_bank(control)
        self._check_chat(control)
        for vat in control.request("status")["vats"]:
            if vat.get("fault"):
                self.account.fail("vats with a fault", f"{vat['name']} ({vat['vat']}): {vat['fault']}")

    def _check_bank(self, control: Control) -> None:
        audit = self._audit(control)
        if not audit["is_conserved"]:
            self.account.fail("money", str(audit))
        for request in audit["repeated"]:
            self.account.fail("payments done twice", request)
        missing = self._requests_before + self._numbers["pay"] - audit["requests"]
        if missing:
            self.account.fail("payments not done", f"{missing} of {self._numbers['pay']}")

    def _check_chat(self, control: Control) -> None:
        for user in ("alice", "bob"):
            heard = Counter(ast.literal_eval(control.call(self._roots["chat"][user], "heard")))
            for number in range(self._numbers["say"]):
                count = sum(heard[f"{author}: line {number}"] for author in ("alice", "bob"))
                if count != 1:
                    self.account.fail("lines not heard once", f"line {number}: {user} heard it {count} times")

    def _audit(self, control: Control) -> dict[str, Any]:
        audit: dict[str, Any] = ast.literal_eval(control.call(self._roots["bank"]["bank"], "audit"))
        return audit

    def _send(
        self, control: Control, what: str, root: str, message: tuple[str, str], check: Callable[[str], bool]
    ) -> None:
        method, args = message
        key = f"{what}-{self._numbers[what]}"
        self._numbers[what] += 1
        self.asked[key] = ("send", {"target": root, "method": method, "args": args})
        self._checks[key] = check
        control.ask(key, *self.asked[key])

    def _pay(self, control: Control) -> None:
        # Every second payment goes the other way: nobody runs out of money.
        if self._paid_back:
            self._payer = self._chance.choice(("alice", "bob"))
        else:
            self._payer = "bob" if self._payer == "alice" else "alice"
        self._paid_back = not self._paid_back
        payee = self._roots["bank"]["bob" if self._payer == "alice" else "alice"]
        args = f"{payee}, 1, request='chaos-{self._numbers['pay']}'"
        self._send(control, "pay", self._roots["bank"][self._payer], ("pay", args), str.isdigit)

    def _say(self, control: Control) -> None:
        number = self._numbers["say"]

        def is_new(value: str) -> bool:
            return self._said.setdefault(value, number) == number

        user = self._roots["chat"][self._chance.choice(("alice", "bob"))]
        self._send(control, "say", user, ("say", f"'line {number}'"), is_new)

    def _wait(self, control: Control) -> None:
        number = self._numbers["wait"]
        self._waiting.append(number)
        message = ("await_release", f"'hold-{number}'")
        self._send(control, "wait", self._roots["bank"]["escrow"], message, str(number).__eq__)

    def _release(self, control: Control) -> None:
        if not self._waiting:
            return
        number = self._waiting.pop(self._chance.randrange(len(self._waiting)))
        message = ("release", f"'hold-{number}', {number}")
        self._send(control, "release", self._roots["bank"]["escrow"], message, "None".__eq__)

    def _sell(self, control: Control) -> None:
        # A bidder of the example holds one paddle at a time.
        if any(key.startswith("sell-") for key in self.asked):
            return
        high, low = self._chance.sample(range(20, 100), 2)
        high, low = max(high, low), min(high, low)
        message = ("run_auction", f"'thing {self._numbers['sell']}', 10, {{'alice': {high}, 'bob': {low}}}")

        def is_sold(value: str) -> bool:
            outcome = ast.literal_eval(value)
            return (outcome["winner"], outcome["price"], outcome["out"]) == ("alice", low, [])

        self._send(control, "sell", self._roots["auction"]["house"], message, is_sold)


class Chaos:
    """One profile, in which everything dies time and again.

    Args:
        folder: an empty one, for the profile.
        report: is told the account, every now and then.
    """

    def __init__(self, folder: Path, seed: int, report: Callable[[Account], None] = lambda _: None) -> None:
        self.account = Account()
        self._chance = random.Random(seed)
        self._load = Load(self.account, self._chance)
        self._report = report
        self._restored: dict[tuple[str, int], None] = {}
        self._profile = folder / "profile"
        self._extension = make_fatal(EXTENSION, folder / "fatal")
        self._start_browser()
        self._load.launch(self._control)

    def close(self) -> None:
        self._chromium.close()

    def run(self, kills: int, *, until_s: float = float("inf")) -> None:
        """Kill so many times, or until a time of the monotonic clock; then see that nothing was lost.

        Of each kind there are about as many as `WEIGHTS` has it, whatever the seed.
        """
        kinds = [
            kind for kind, weight in WEIGHTS.items() for _ in range(max(1, kills * weight // sum(WEIGHTS.values())))
        ]
        self._chance.shuffle(kinds)
        for number, kind in enumerate(kinds[:kills] + [RANDOM] * (kills - len(kinds))):
            if time.monotonic() > until_s:
                break
            if number % REST_KILLS == REST_KILLS - 1:
                self._rest()
            self._load_up()
            self._kill(kind)
            self._control.wait_ms(self._chance.choice((0, self._chance.randrange(100), self._chance.randrange(1_500))))
            self._load.take(self._control)
            self._report(self.account)
        self._count_restored()
        self._load.settle(self._control)

    def _load_up(self) -> None:
        for _ in range(self._chance.randrange(2, 8)):
            if self._load.answerable < OUTSTANDING_MAX:
                self._load.ask(self._control)
        if self._chance.random() < 0.3:
            self._evict()

    def _evict(self) -> None:
        """Ask for a vat to be sent away if it is at rest; nobody waits for the answer."""
        vat = f"v{self._chance.randrange(1, 1 + sum(len(kinds) for kinds in KINDS.values()))}"
        self._control.start("evictVat", vat=vat)
        self.account.done["evictions asked for"] += 1

    def _rest(self) -> None:
        end = time.monotonic() + REST_S
        while self._load.answerable > REST_OUTSTANDING and time.monotonic() < end:
            self._control.wait_ms(50)
            self._load.take(self._control)
        self._count_restored()

    def _count_restored(self) -> None:
        for vat in self._control.request("status")["vats"]:
            restored = (vat["vat"], vat.get("restored"))
            if restored[1] is not None and restored not in self._restored:
                self._restored[restored] = None
                self.account.done["vats seen to come from a snapshot"] += 1

    def _kill(self, kind: str) -> None:
        self._control.wait_ms(self._chance.choice((0, self._chance.randrange(50), self._chance.randrange(500))))
        match kind:
            case "service worker, at any moment":
                self._chromium.kill_service_worker()
            case "service worker, before a transaction" | "service worker, after a transaction":
                self._kill_at_transaction("plan", "before" if kind == BEFORE else "after")
            case "service worker, at a transaction of its start":
                self._kill_at_transaction("prepare", self._chance.choice(("before", "after")))
            case "realm in a worker" | "realm in a frame":
                realm = "worker" if kind == WORKER else "iframe"
                if not self._control.evaluate(f"fatal.end('{realm}', {self._chance.randrange(100)})"):
                    return
            case "offscreen document":
                with suppress(RuntimeError):  # there is none
                    self._control.evaluate("chrome.offscreen.closeDocument()")
            case _:
                self._chromium.kill()
                self._start_browser()
                self._load.ask_again(self._control)
        self.account.kills[kind] += 1

    def _kill_at_transaction(self, way: str, side: str) -> None:
        number = self._chance.randrange(1, TRANSACTIONS_MAX + 1)
        self._control.evaluate(f"fatal.{way}({number}, '{side}', {DEATH_MS_MAX})")
        if way == "prepare":
            self._chromium.kill_service_worker()
        death = self._control.evaluate("fatal.died()")
        # It has come to rest before: then it dies there.
        self._chromium.kill_service_worker()
        where = "at rest" if death is None else f"{side} {death['mode']} of {death['stores']}"
        self.account.transactions[where] += 1

    def _start_browser(self) -> None:
        self._chromium = PlainChromium(self._profile, extension=self._extension)
        self._control = self._chromium.open_control()
        self._control.evaluate(PAGE_SCRIPT)
