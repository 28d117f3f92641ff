"""The meter of Python vats: what it counts, that it replays, and that nobody outruns it. Needs Python 3.12."""

from __future__ import annotations

import gc
import json
import sys
import textwrap

import pytest

from kernel_py.hosts.memory import MemoryHost
from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical, protocol
from tests.vat.driving import TIME_MS, capdata, make_files, message

pytestmark = [
    pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring came with Python 3.12"),
    # What a stopped delivery leaves suspended is closed by the collector, and may complain.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SOURCE = """
class Root(Exo):
    def __init__(self):
        self.done = 0

    def bootstrap(self, vats, services):
        pass

    def loop(self, turns):
        for _ in range(turns):
            pass
        self.done += 1
        return self.done

    def forever(self):
        while True:
            pass

    def catch(self):
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

    def finalize(self):
        try:
            while True:
                pass
        finally:
            while True:
                try:
                    while True:
                        pass
                finally:
                    self.finalize()

    def generate(self):
        def numbers():
            while True:
                try:
                    yield 1
                except BaseException:
                    continue
        return sum(numbers())

    def delegate(self):
        class Again:
            def __next__(self):
                return 1
            def __iter__(self):
                return self
        return sum(Again())

    def refuse_to_close(self):
        async def refuse():
            try:
                await Pause()
            except BaseException:
                while True:
                    try:
                        while True:
                            pass
                    except BaseException:
                        pass

        suspended = refuse()
        suspended.send(None)
        return suspended

    def suspend(self):
        self.suspended = self.refuse_to_close()
        self.forever()

    def leave_to_the_collector(self):
        cycle = [self.refuse_to_close()]
        cycle.append(cycle)

    def litter(self, cycles):
        for _ in range(cycles):
            finalized = Finalized()
            finalized.myself = finalized


class Pause:
    def __await__(self):
        yield


class Finalized:
    def __del__(self):
        pass
"""

RUNAWAYS = ["forever", "catch", "finalize", "generate", "delegate", "suspend", "leave_to_the_collector"]

OPENED: list[VatSession] = []


@pytest.fixture(autouse=True)
def _close_sessions():
    yield
    while OPENED:
        OPENED.pop().close()


class Metered:
    """A vat with a meter, whose kernel is the test."""

    def __init__(self, **meter: int) -> None:
        files = make_files(SOURCE) | {protocol.METERS_PATH: canonical.dump({"tested": meter})}
        self.spec = protocol.VatSpec("v1", 0, "tested", "seed", "main.py", files)
        self.session = VatSession()
        OPENED.append(self.session)
        self.number = 0
        self.transcript: list[str] = []
        self.session.receive(protocol.dump_start(self.spec))
        self.session.receive(protocol.dump_go(0))

    def deliver(self, delivery: list[object], time_ms: int = 0) -> tuple[list[str | None], dict[str, object]]:
        self.number += 1
        time_ms += TIME_MS
        text = canonical.dump(delivery)
        [answer] = self.session.receive(protocol.dump_deliver(self.number, time_ms, text))
        kind, _, status, syscalls, usage = json.loads(answer)
        assert kind == "done"
        if status[0] == "ok":
            syscalls_text = canonical.dump(syscalls)
            self.transcript.append(protocol.dump_transcript_entry(self.number, time_ms, text, syscalls_text, None))
        return status, usage

    def call(self, method: str, *args: object, time_ms: int = 0) -> tuple[list[str | None], dict[str, object]]:
        return self.deliver(message("o+0", method, *args), time_ms)

    def start(self) -> Metered:
        status, _ = self.deliver(["startVat", capdata({})])
        assert status == ["ok", None], status
        return self


def test_every_turn_of_a_loop_and_every_call_is_counted():
    vat = Metered(delivery=100_000).start()
    vat.call("loop", 1)  # the first call of all is longer
    few, many = (vat.call("loop", turns)[1]["meter"][0] for turns in (100, 1_100))
    assert many - few == 1_000


def test_what_is_used_is_the_same_in_another_session_and_after_a_replay():
    vat, other = Metered(delivery=100_000).start(), Metered(delivery=100_000).start()
    used = [vat.call("loop", turns)[1]["meter"] for turns in (1, 2, 3)]
    assert [other.call("loop", turns)[1]["meter"] for turns in (1, 2, 3)] == used
    again = Metered(delivery=100_000)
    again.session = VatSession()
    again.session.receive(protocol.dump_start(vat.spec))
    assert again.session.receive(protocol.dump_replay(vat.transcript)) == []
    again.number = vat.number
    again.session.receive(protocol.dump_go(vat.number))
    assert again.call("loop", 5) == vat.call("loop", 5)


@pytest.mark.parametrize("method", RUNAWAYS)
def test_a_delivery_that_uses_up_its_units_is_a_poison_message_whatever_it_catches(method):
    vat = Metered(delivery=5_000).start()
    status, usage = vat.call(method)
    assert status == ["poison", "out of meter: a delivery has 5,000 units"]
    assert usage["meter"][0] > 5_000


@pytest.mark.parametrize("method", RUNAWAYS)
def test_what_is_left_of_a_stopped_vat_is_let_go_of(method):
    vat = Metered(delivery=5_000).start()
    vat.call(method)
    vat.session.close()
    gc.collect()
    assert not [each for each in gc.get_objects() if type(each).__module__ == "v1.main"]
    assert Metered(delivery=20_000).start().call("loop", 10)[0] == ["ok", None]


def test_the_collector_s_work_is_counted_in_the_delivery_that_made_it_wherever_the_collector_stands():
    vat, other = Metered(delivery=100_000).start(), Metered(delivery=100_000).start()
    used = [vat.call("litter", 300)[1]["meter"] for _ in range(4)]
    gc.collect()
    kept = []
    for _ in range(4):
        kept.append([[] for _ in range(321)])
        assert other.call("litter", 300)[1]["meter"] == used.pop(0)


def test_a_start_that_uses_up_its_units_is_an_error():
    status, _ = Metered(delivery=3).deliver(["startVat", capdata({})])
    assert status == ["error", "out of meter: a delivery has 3 units"]


def test_what_runs_after_a_poison_message_is_not_metered_by_it():
    Metered(delivery=20_000).start().call("forever")
    assert Metered(delivery=20_000).start().call("loop", 10)[0] == ["ok", None]


def test_a_tank_is_for_all_messages_together():
    vat = Metered(delivery=100_000, tank=10_000).start()
    assert vat.call("loop", 4_000)[0] == ["ok", None]
    status, _ = vat.call("loop", 9_000)
    assert status[0] == "poison"


def test_a_tank_is_refilled_by_the_times_of_the_deliveries():
    vat = Metered(delivery=100_000, tank=10_000, refill_per_second=5_000).start()
    assert vat.call("loop", 6_000)[0] == ["ok", None]
    status, usage = vat.call("loop", 6_000, time_ms=1_000)
    assert status == ["ok", None]
    assert 0 <= usage["meter"][1] < 5_000
    assert vat.call("loop", 6_000, time_ms=1_100)[0][0] == "poison"


def test_a_vat_without_a_meter_says_nothing_of_it():
    session = VatSession()
    spec = protocol.VatSpec("v1", 0, "tested", "seed", "main.py", make_files(textwrap.dedent(SOURCE)))
    session.receive(protocol.dump_start(spec))
    session.receive(protocol.dump_go(0))
    [answer] = session.receive(protocol.dump_deliver(1, TIME_MS, canonical.dump(["startVat", capdata({})])))
    assert "meter" not in json.loads(answer)[4]


def test_a_meter_is_kept_over_upgrades():
    host = MemoryHost()
    meter = {"delivery": 5_000, "tank": 9_000}
    config = {"bootstrap": "tested", "vats": {"tested": {"source": "main.py", "meter": meter}}}
    files = make_files(SOURCE)
    launched = host.launch(config, files)
    stopped = host.send(launched["root"], "forever")
    assert "out of meter: a delivery has 5,000 units" in stopped["value"]
    assert host.send(launched["root"], "loop", "3")["value"] == "1"
    renamed = {"other.py": files["main.py"]}
    host.request("upgradeVat", {"vat": launched["vats"]["tested"], "files": renamed, "source": "other.py"})
    assert host.send(launched["root"], "catch")["status"] == "rejected"
    assert host.send(launched["root"], "loop", "3")["value"] == "1"
