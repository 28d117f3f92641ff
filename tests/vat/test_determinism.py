"""The clock and entropy that vat code sees replay equally."""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import sys
import time
import uuid

import pytest

from kernel_py.vat.determinism import Ambient
from tests.vat.driving import TIME_MS, DrivenVat

DRAW = """
import datetime, os, random, secrets, time, uuid
from random import random as drawn
class Root(Exo):
    def clock(self):
        return {
            "time": time.time(), "time_ns": time.time_ns(),
            "monotonic": time.monotonic(), "perf": time.perf_counter_ns(),
            "local": list(time.localtime()), "ctime": time.ctime(), "strftime": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "mktime": time.mktime(time.gmtime()), "zone": list(time.tzname),
            "now": str(datetime.datetime.now()), "today": str(datetime.date.today()),
            "aware": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "stamp": datetime.datetime(2023, 11, 14, 22, 13, 20).timestamp(),
            "from": str(datetime.datetime.fromtimestamp(0)),
            "zoned": datetime.datetime(2023, 1, 1).astimezone().isoformat(),
        }
    def draw(self):
        return [
            os.urandom(8), random.random(), drawn(), random.Random().random(), random.SystemRandom().random(),
            random.choice("abcdefgh"), secrets.token_hex(8), str(uuid.uuid4()), str(uuid.uuid1()),
        ]
    def sleep(self): time.sleep(1)
    def kinds(self):
        now = datetime.datetime.now()
        return [
            isinstance(now, datetime.datetime), isinstance(now, datetime.date),
            isinstance(datetime.datetime.min, datetime.datetime), isinstance(datetime.date.min, datetime.datetime),
            isinstance(now + datetime.timedelta(1), datetime.datetime),
            issubclass(datetime.datetime, datetime.date), str(now - now),
        ]
    def seeded(self):
        random.seed(5)
        return random.random()
    def go_on(self): return random.random()
"""


def value(vat, method):
    [(_, (_, result))] = vat.call(method)
    return result


def test_all_clocks_show_the_time_of_the_delivery_in_utc():
    time_s = (TIME_MS + 2) / 1000
    assert value(DrivenVat(DRAW), "clock") == {
        "time": time_s,
        "time_ns": (TIME_MS + 2) * 1_000_000,
        "monotonic": time_s,
        "perf": (TIME_MS + 2) * 1_000_000,
        "local": [2023, 11, 14, 22, 13, 20, 1, 318, 0],
        "ctime": "Tue Nov 14 22:13:20 2023",
        "strftime": "2023-11-14T22:13:20",
        "mktime": 1_700_000_000.0,
        "zone": ["UTC", "UTC"],
        "now": "2023-11-14 22:13:20.002000",
        "today": "2023-11-14",
        "aware": "2023-11-14T22:13:20.002000+00:00",
        "stamp": 1_700_000_000.0,
        "from": "1970-01-01 00:00:00",
        "zoned": "2023-01-01T00:00:00+00:00",
    }


@pytest.mark.shared_process
def test_entropy_is_a_function_of_seed_vat_and_delivery():
    first = DrivenVat(DRAW)
    draws = [value(first, "draw") for _ in range(2)]
    assert draws == [value(vat, "draw") for vat in [DrivenVat(DRAW)] for _ in range(2)]
    others = [*draws, value(DrivenVat(DRAW, vat="v2"), "draw"), value(DrivenVat(DRAW, seed="other"), "draw")]
    for index in range(len(draws[0])):
        if index != 5:  # one of eight letters may well be the same
            assert len({str(draw[index]) for draw in others}) == len(others)


def test_the_state_of_random_lives_in_the_heap():
    vat = DrivenVat(DRAW)
    assert value(vat, "seeded") == random.Random(5).random()
    expected = random.Random(5)
    expected.random()
    assert value(vat, "go_on") == expected.random()


def test_sleeping_is_refused_and_names_the_timer_service():
    [(_, (_, _, text))] = DrivenVat(DRAW).call("sleep")
    assert text.startswith("RuntimeError: a vat has no clock of its own")
    assert "'timer' service" in text


def test_dates_of_the_vat_and_of_c_code_count_as_one_kind():
    assert value(DrivenVat(DRAW), "kinds") == [True, True, True, False, True, True, "0:00:00"]


@pytest.mark.shared_process
def test_the_process_around_is_left_alone():
    state = random.getstate()
    before = time.time, time.sleep, os.urandom, random.Random.seed, dt.datetime, uuid._node
    vat = DrivenVat(DRAW)
    for method in ("draw", "clock", "seeded"):
        value(vat, method)
    assert (time.time, time.sleep, os.urandom, random.Random.seed, dt.datetime, uuid._node) == before
    assert random.getstate() == state
    assert time.time() > TIME_MS / 1000


def test_entropy_is_one_stream_whatever_the_pieces():
    def stream(*sizes):
        ambient = Ambient()
        ambient.start("seed", "v1")
        ambient.begin(3, 0)
        return b"".join(ambient.entropy(size) for size in sizes)

    assert stream(100) == stream(1, 0, 31, 32, 36)
    assert len(stream(1000)) == 1000
    with pytest.raises(ValueError, match="negative"):
        stream(-1)


@pytest.mark.native
def test_in_a_realm_of_its_own_the_whole_process_has_the_vats_clock_and_entropy():
    program = f"""
from kernel_py.vat.determinism import install_determinism
ambient = install_determinism()
import datetime, email.utils, tempfile, time
from kernel_py.vat.session import VatSession
from tests.vat import driving
driving.VatSession = lambda **options: VatSession(ambient=ambient, **options)
vat = driving.DrivenVat({DRAW!r})
print(vat.call("clock"))
print(vat.call("draw"))
print(time.time(), email.utils.formatdate(), datetime.datetime.now(), next(tempfile._RandomNameSequence()))
"""
    outputs = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    ]
    assert outputs[0] == outputs[1]
    clock, draw, others = outputs[0].splitlines()
    vat = DrivenVat(DRAW)
    assert clock == str(vat.call("clock"))
    assert draw == str(vat.call("draw"))
    assert others.startswith(f"{(TIME_MS + 3) / 1000} Tue, 14 Nov 2023 22:13:20 -0000 2023-11-14 22:13:20.003000 ")
