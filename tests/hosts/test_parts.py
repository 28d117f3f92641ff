"""Parts of a kernel are replaced when it is made, and intercepted while it runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from kernel_py.core.cranks import Handlers
from kernel_py.core.crypto import Sha2
from kernel_py.core.interceptors import GoOn, Part, PartCall
from kernel_py.core.meter import GasMeter
from kernel_py.core.parts import DEFAULT_PARTS, Parts
from kernel_py.core.promises import Promises
from kernel_py.core.schema import GRANT
from kernel_py.core.services.service import NO_CONFIG, HostService, LocalCall, Method
from kernel_py.core.shared import Shared
from kernel_py.hosts.memory import MemoryHost
from kernel_py.hosts.services import Service
from kernel_py.wire.errors import IllegalSyscall, StoreError
from kernel_py.wire.limits import DEFAULT_LIMITS
from tests.hosts.realms import Asker, World
from tests.virtual_loop import run_async

GAS = 50_000
SOURCE = """
import time
from kernel_py.vat import E, Exo

class Link(Exo):
    def bootstrap(self, vats, services):
        self.next = vats["middle"]
        return E(vats["middle"]).join(vats["last"], services)

    def join(self, other, services):
        self.next = other
        return E(other).hold(services)

    def hold(self, services):
        self.services = services

    async def check(self, signature):
        return await E(self.next).check_next(signature)

    async def check_next(self, signature):
        return await E(self.next).check_last(signature)

    async def check_last(self, signature):
        return await E(self.services["verify"]).check(signature)

    async def check_all(self, count):
        return [await self.check(f"signature {number}") for number in range(count)]

    async def roll(self):
        return await E(E(self.next).get_last()).roll_last()

    def get_last(self):
        return self.next

    async def roll_last(self):
        return await E(self.services["random"]).integer(1, 6)

    def now(self):
        return time.time()

def build_root_object(powers, parameters, baggage):
    return Link()
"""
CONFIG = {
    "bootstrap": "first",
    "services": ["verify", "random", "timer"],
    "vats": {name: {"source": "link.py"} for name in ("first", "middle", "last")},
}
FIRST, MIDDLE, LAST = "v1", "v2", "v3"


class Verifier:
    """Checks signatures, which takes long, and none of these is good."""

    def __init__(self) -> None:
        declared = HostService("verify", ("check",), NO_CONFIG, gas=lambda method, args, kwargs: GAS)
        self.service = Service(declared, self.carry_out)
        self.checked: list[str] = []

    async def carry_out(self, method: str, args: list[Any], kwargs: dict[str, Any], config: Any) -> bool:
        self.checked.append(args[0])
        return False


class Chain:
    """Three vats, of which the last has the services; calls go from one to the next."""

    def __init__(self, host: MemoryHost, verifier: Verifier) -> None:
        self.host = host
        self.verifier = verifier
        self.root = host.launch(CONFIG, {"link.py": SOURCE})["root"]

    def call(self, method: str, args: str = "") -> dict[str, Any]:
        return self.host.send(self.root, method, args)

    def spent(self, vat: str) -> int:
        return self.host.kernel.get_gas_spent(vat)


@pytest.fixture
def chain() -> Chain:
    return make_chain()


def make_chain(parts: Parts = DEFAULT_PARTS, **options: Any) -> Chain:
    verifier = Verifier()
    return Chain(MemoryHost(services=[verifier.service], parts=parts, **options), verifier)


def say_yes(call: PartCall, go_on: GoOn) -> bool:
    return True


class Notes:
    """An interceptor that only looks."""

    def __init__(self) -> None:
        self.calls: list[PartCall] = []

    def __call__(self, call: PartCall, go_on: GoOn) -> Any:
        self.calls.append(call)
        return go_on(*call.arguments)


# --- an expensive service is faked ------------------------------------------------------------------


def test_pitfall_28_a_fake_holds_for_a_call_three_vats_deep_and_costs_the_same(chain: Chain) -> None:
    assert chain.call("check", '"dear"')["value"] == "False"
    dear = chain.spent(LAST)
    assert dear == GAS
    with chain.host.interceptors.add(say_yes, Part.SERVICES, method="verify.check"):
        assert chain.call("check", '"cheap"')["value"] == "True"
    assert chain.verifier.checked == ["dear"]
    assert chain.spent(LAST) == 2 * dear
    assert chain.spent(FIRST) == chain.spent(MIDDLE) == 0


def test_pitfall_30_a_fake_is_switched_on_and_off_while_a_request_is_under_way(chain: Chain) -> None:
    seen = Notes()
    chain.host.interceptors.add(seen, Part.SERVICES).on()
    fake = chain.host.interceptors.add(say_yes, Part.SERVICES, method="verify.check")
    key = chain.host.post("send", {"target": chain.root, "method": "check_all", "args": "6"})

    def run_until(calls: int) -> None:
        while chain.spent(LAST) < calls * GAS:
            assert chain.host.step()

    run_until(2)
    fake.on()
    run_until(4)
    fake.off()
    chain.host.run()
    assert chain.host.find_response(key)["value"] == "[False, False, True, True, False, False]"
    assert chain.verifier.checked == [f"signature {number}" for number in (0, 1, 4, 5)]
    assert chain.spent(LAST) == 6 * GAS
    assert [call.arguments for call in seen.calls] == [([signature], {}) for signature in chain.verifier.checked]


def test_what_a_fake_answered_is_recorded_and_replayed_without_it(chain: Chain) -> None:
    with chain.host.interceptors.add(say_yes, Part.SERVICES, method="verify.check"):
        chain.call("check", '"cheap"')
    spent = chain.spent(LAST)
    chain.host = chain.host.reopen()
    assert chain.call("check", '"dear"')["value"] == "False"
    assert chain.spent(LAST) == spent + GAS


def test_an_interceptor_outlives_the_crash_of_the_kernel_that_it_was_made_for(chain: Chain) -> None:
    chain.host.interceptors.add(say_yes, Part.SERVICES, method="verify.check").on()
    chain.host = chain.host.reopen()
    assert chain.call("check", '"cheap"')["value"] == "True"


def test_a_delivery_that_spends_too_much_is_told_so_and_pays_nothing_for_it() -> None:
    chain = make_chain(limits=replace(DEFAULT_LIMITS, service_gas_max=GAS - 1))
    answer = chain.call("check", '"dear"')
    assert "out of gas: a delivery may spend 49,999 gas on services" in answer["value"]
    assert chain.verifier.checked == []
    assert chain.spent(LAST) == 0


def test_what_a_dead_vat_spent_is_forgotten(chain: Chain) -> None:
    chain.call("check", '"dear"')
    chain.host.request("terminateVat", {"vat": LAST})
    assert not chain.host.kernel._state.rows("gas")


# --- any part, any call -----------------------------------------------------------------------------


def test_an_interceptor_is_for_one_method_of_one_vat(chain: Chain) -> None:
    notes = {vat: Notes() for vat in (FIRST, MIDDLE, LAST)}
    for vat, note in notes.items():
        chain.host.interceptors.add(note, Part.SYSCALLS, method="send", vat=vat).on()
    chain.call("check", '"dear"')
    sent = {vat: [call.arguments[1].message.methargs.body for call in note.calls] for vat, note in notes.items()}
    assert sent == {
        FIRST: ['#["check_next",["dear"]]'], MIDDLE: ['#["check_last",["dear"]]'], LAST: ['#["check",["dear"]]']
    }  # fmt: skip
    assert {call.vat for note in notes.values() for call in note.calls} == {FIRST, MIDDLE, LAST}


def test_the_last_one_comes_first_and_may_change_what_is_asked(chain: Chain) -> None:
    def double(call: PartCall, go_on: GoOn) -> Any:
        args, kwargs = call.arguments
        return go_on([args[0] * 2], kwargs)

    seen = Notes()
    chain.host.interceptors.add(seen, Part.SERVICES).on()
    chain.host.interceptors.add(double, Part.SERVICES).on()
    chain.call("check", '"twice"')
    assert [call.arguments for call in seen.calls] == [(["twicetwice"], {})]
    assert chain.verifier.checked == ["twicetwice"]


def test_a_refused_service_is_refused_to_its_caller(chain: Chain) -> None:
    def refuse(call: PartCall, go_on: GoOn) -> Any:
        raise PermissionError(f"not {call.vat}")

    with chain.host.interceptors.add(refuse, Part.SERVICES, vat=LAST):
        assert chain.call("check", '"dear"')["value"] == "PermissionError('not v3')"
    assert chain.call("check", '"dear"')["value"] == "False"


def test_a_refused_syscall_ends_the_vat_and_nothing_else(chain: Chain) -> None:
    def refuse(call: PartCall, go_on: GoOn) -> Any:
        raise IllegalSyscall("not today")

    with chain.host.interceptors.add(refuse, Part.SYSCALLS, method="send", vat=MIDDLE):
        assert "vat terminated" in chain.call("check", '"dear"')["value"]
    assert chain.host.kernel.get_vat(MIDDLE).reason == "not today"
    assert chain.call("now")["status"] == "fulfilled"


def test_a_faked_syscall_is_not_carried_out(chain: Chain) -> None:
    with chain.host.interceptors.add(lambda call, go_on: None, Part.SYSCALLS, method="send", vat=MIDDLE):
        key = chain.host.post("send", {"target": chain.root, "method": "check", "args": '"lost"'})
        chain.host.run()
    assert chain.host.find_response(key) is None
    assert chain.verifier.checked == []


def test_the_clock_is_faked_for_vats(chain: Chain) -> None:
    with chain.host.interceptors.add(lambda call, go_on: 86_400_000, Part.CLOCK):
        assert chain.call("now")["value"] == "86400.0"
    assert chain.call("now")["value"] != "86400.0"


def test_workers_are_observed_by_vat(chain: Chain) -> None:
    notes = Notes()
    with chain.host.interceptors.add(notes, Part.WORKERS, vat=LAST):
        chain.call("check", '"dear"')
        chain.host.evict(LAST)
        chain.call("check", '"dear"')
    assert {call.vat for call in notes.calls} == {LAST}
    assert [call.method for call in notes.calls].count("create") == 1
    delivered = [json.loads(call.arguments[1])[3][0] for call in notes.calls if call.method == "post"]
    assert delivered == ["message", "notify", "message", "notify"]


def test_a_store_that_refuses_stops_the_host(chain: Chain) -> None:
    def refuse(call: PartCall, go_on: GoOn) -> Any:
        raise StoreError("the disk is full")

    with (
        chain.host.interceptors.add(refuse, Part.STORE, method="commit"),
        pytest.raises(StoreError, match="the disk is full"),
    ):
        chain.call("now")
    chain.host = chain.host.reopen()
    assert chain.call("now")["status"] == "fulfilled"


def test_numbers_and_charges_are_faked(chain: Chain) -> None:
    notes = Notes()
    chain.host.interceptors.add(notes, Part.CRYPTO, vat=LAST).on()
    with chain.host.interceptors.add(lambda call, go_on: bytes(call.arguments[1]), Part.CRYPTO, method="expand"):
        assert [chain.call("roll")["value"] for _ in range(3)] == ["1", "1", "1"]
    assert len(notes.calls) == 0  # the fake was added later: it comes first, and does not go on
    chain.call("roll")
    assert len(notes.calls) == 1
    with chain.host.interceptors.add(lambda call, go_on: None, Part.METER, method="charge"):
        chain.call("check", '"free"')
    assert chain.spent(LAST) == 0


def test_an_asynchronous_host_s_parts_are_intercepted_too() -> None:
    notes = Notes()

    async def main() -> None:
        world = World(services=[Verifier().service])
        await world.start()
        assert world.host is not None
        asker = Asker(world)
        asker.connect()
        cluster = await asker.launch({"link.py": SOURCE}, **CONFIG["vats"])
        for part in (Part.STORE, Part.CLOCK, Part.WORKERS):
            world.host.interceptors.add(notes, part).on()
        await asker.send(cluster["root"], "now")

    run_async(main())
    methods = {(call.part, call.method, call.vat) for call in notes.calls}
    assert {(Part.STORE, "commit", ""), (Part.CLOCK, "now_ms", ""), (Part.WORKERS, "post", FIRST)} <= methods


# --- parts given at construction --------------------------------------------------------------------


class LongDigests(Sha2):
    def digest(self, text: str) -> str:
        return super().digest(text)[::-1]


class DearMeter(GasMeter):
    def charge(self, vat: str, gas: int) -> None:
        super().charge(vat, 3 * gas)


class Die:
    """A random service of another kind."""

    name = "random"
    config_schema = NO_CONFIG

    def __init__(self) -> None:
        self.methods: Mapping[str, Mapping[str, Method]] = {GRANT: {"integer": self.give}}

    def give(self, call: LocalCall, /, low: int, high: int) -> int:
        return high


def choose_services(shared: Shared, promises: Promises) -> Die:
    return Die()


COUNTED: list[str] = []


def count_sends(handlers: Handlers) -> Handlers:
    def send(where: tuple[str, int], syscall: Any) -> None:
        COUNTED.append(where[0])
        handlers["send"](where, syscall)

    return {**handlers, "send": send}


REPLACED = {
    "crypto": (Parts(crypto=LongDigests), {"random": False, "gas": GAS, "counted": 0}),
    "meter": (Parts(meter=DearMeter), {"random": False, "gas": 3 * GAS, "counted": 0}),
    "syscalls": (Parts(syscalls=count_sends), {"random": False, "gas": GAS, "counted": 3}),
    "services": (Parts(services=(choose_services,)), {"random": True, "gas": GAS, "counted": 0}),
}


def test_every_part_is_replaced_below() -> None:
    assert {field.name for field in fields(Parts)} == set(REPLACED)


@pytest.mark.parametrize("name", REPLACED)
def test_pitfall_29_one_part_is_replaced_and_the_others_stay(name: str) -> None:
    parts, expected = REPLACED[name]
    chain = make_chain(parts)
    COUNTED.clear()
    assert chain.call("check", '"dear"')["value"] == "False"
    assert len(COUNTED) == expected["counted"]
    assert chain.spent(LAST) == expected["gas"]
    assert all(chain.call("roll")["value"] == "6" for _ in range(8)) is expected["random"]
    [bundle] = chain.host.kernel._state.rows("bundles")
    text = chain.host.backend.bundles[bundle]  # type: ignore[attr-defined]
    assert (bundle == f"b1-{Sha2().digest(text)}") is (name != "crypto")
    chain.host = chain.host.reopen()
    assert chain.call("check", '"dear"')["value"] == "False"
    assert chain.spent(LAST) == 2 * expected["gas"]
