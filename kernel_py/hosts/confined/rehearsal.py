"""One life of a small vat, lived when the component is built, so that its first deliveries are not the heap's first.

What Python and SQLite allocate, specialise and remember on the first use of anything is in the image then, and every
new vat begins with it. The vat itself is gone before the image is taken.
"""

from __future__ import annotations

import gc

from kernel_py.vat.determinism import Ambient
from kernel_py.vat.session import VatSession
from kernel_py.vat.store import VatStore
from kernel_py.wire import canonical, protocol

_VAT = "v0"
_FILE = "rehearsal.py"
_SOURCE = """
from kernel_py.vat import E, Exo, make_promise


class Root(Exo):
    def __init__(self):
        self.items = {}

    async def bootstrap(self, vats, services):
        return None

    def put(self, key, value, *, times=1):
        self.items[key] = [value, 1.5, b"bytes", None, True, "text"] * times
        print("has", len(self.items))
        return self.items

    async def ask(self, other):
        try:
            return [await E(other).put("a", Root()), "asked"]
        except ValueError as error:
            return repr(error)

    def fail(self, why):
        raise ValueError(why)

    def wait(self):
        promise, self.pending = make_promise()
        return promise

    def settle(self, value):
        self.pending.resolve(value)


def build_root_object(powers, parameters, baggage):
    baggage["root"] = 1
    return Root()
"""

_DELIVERIES = [
    ["startVat", {"body": '#{"name":"x"}', "slots": []}],
    *[
        ["message", "o+0", {"methargs": {"body": f"#{body}", "slots": slots}, "result": f"p-{number}"}]
        for number, (body, slots) in enumerate(
            [
                ('["bootstrap",[{},{}]]', []),
                ('["put",["k",["+1",2.5,{"a":null}]],{"times":"+2"}]', []),
                ('["put",["k","v"]]', []),
                ('["fail",["why"]]', []),
                ('["missing",[]]', []),
                ('["ask",["$0.Alleged: Other"]]', ["o-50"]),
                ('["wait",[]]', []),
                ('["settle",[["now"]]]', []),
            ],
            start=60,
        )
    ],
    ["notify", [["p+5", False, {"body": '#"answer"', "slots": []}]]],
    ["dropExports", ["o+1"]],
    ["bringOutYourDead"],
]


def live_once(ambient: Ambient) -> None:
    """Live, several times over, since Python specialises what it has run a few times; then be gone."""
    for _ in range(3):
        session = VatSession(ambient=ambient)
        session.hello()
        session.receive(protocol.dump_start(protocol.VatSpec(_VAT, 0, "rehearsal", "seed", _FILE, {_FILE: _SOURCE})))
        session.receive(protocol.dump_go(0))
        for number, delivery in enumerate(_DELIVERIES, start=1):
            [done] = session.receive(protocol.dump_deliver(number, 1_700_000_000_000, canonical.dump(delivery)))
            if not done.startswith(f'["done",{number},["ok",null]'):
                raise AssertionError(f"the rehearsal failed: {done}")
        session.close()
        del session
        gc.collect()


def open_store() -> VatStore:
    """An empty store that has carried out each of its statements."""
    store = VatStore()
    for key in ("a", "b"):
        store.set(key, "")
    store.get("a")
    store.get_next_key("")
    store.get_first_entry("a", "c")
    store.get_last_entry("a", "c")
    for key in ("a", "b"):
        store.delete(key)
    return store
