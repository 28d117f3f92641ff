"""The guest's wall clock; the tests' names begin with the fault that each clause of the rules avoids."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_py.hosts.native.guest_clock import ClockLimits, GuestClock

LIMITS = ClockLimits(budget_ns=1_000, pause_ns_max=300, pauses_ns_max=500, slice_ns_min=10)


class Time:
    now_ns = 5_000

    def pass_ns(self, ns):
        self.now_ns += ns


@pytest.fixture
def time():
    return Time()


@pytest.fixture
def clock(time):
    return GuestClock(lambda: time.now_ns, LIMITS)


def test_a_guest_that_runs_uses_its_budget(time, clock):
    with clock.run():
        time.pass_ns(400)
        assert (clock.used_ns, clock.remaining_ns) == (400, 600)
        time.pass_ns(700)
        assert clock.remaining_ns == 0
        assert clock.is_exhausted


def test_pitfall_21_a_pause_ends_with_its_call(time, clock):
    """It was paused for ever after one call."""
    with clock.run():
        with clock.paused():
            time.pass_ns(100)
        time.pass_ns(50)
        assert clock.used_ns == 50


def test_pitfall_21_every_call_pauses(time, clock):
    """Only one of several calls did."""
    with clock.run():
        for _ in range(4):
            time.pass_ns(1)
            with clock.paused():
                time.pass_ns(100)
        assert clock.used_ns == 4


def test_pitfall_21_pauses_nest(time, clock):
    with clock.run():
        with clock.paused():
            time.pass_ns(10)
            with clock.paused():
                time.pass_ns(10)
            time.pass_ns(10)
            assert clock.used_ns == 0
        time.pass_ns(7)
        assert clock.used_ns == 7


def test_pitfall_21_guest_code_inside_a_pause_counts(time, clock):
    with clock.run(), clock.paused():
        time.pass_ns(10)
        with clock.running():
            time.pass_ns(20)
        time.pass_ns(10)
        assert clock.used_ns == 20


def fail_in(time, scope, ns):
    with scope:
        time.pass_ns(ns)
        raise RuntimeError


@pytest.mark.parametrize("inner, outer, used_ns", [("paused", "running", 9), ("running", "paused", 0)])
def test_pitfall_21_an_exception_ends_the_scope(time, clock, inner, outer, used_ns):
    with clock.run(), getattr(clock, outer)():
        with pytest.raises(RuntimeError):
            fail_in(time, getattr(clock, inner)(), 5)
        before = clock.used_ns
        time.pass_ns(9)
        assert clock.used_ns - before == used_ns


def test_pitfall_21_an_exception_ends_the_run_and_the_next_has_a_full_budget(time, clock):
    with pytest.raises(RuntimeError):
        fail_in(time, clock.run(), 900)
    time.pass_ns(10_000)
    with clock.run():
        assert clock.remaining_ns == 1_000


def test_pitfall_21_resuming_does_not_refill_the_budget(time, clock):
    with clock.run():
        time.pass_ns(900)
        with clock.paused():
            time.pass_ns(50)
        assert clock.remaining_ns == 100
        time.pass_ns(100)
        assert clock.is_exhausted


def test_pitfall_21_a_guest_that_calls_the_host_all_the_time_is_counted(time, clock):
    """By nanoseconds: intervals shorter than a tick were not counted at all."""
    calls = 0
    with clock.run():
        while not clock.is_exhausted:
            time.pass_ns(3)
            with clock.paused():
                pass
            calls += 1
    assert calls == 334


def test_pitfall_21_a_check_during_a_pause_is_due_again(time, clock):
    """It never fired again: the next check must come at last when the pause can have become too long."""
    with clock.run():
        time.pass_ns(950)
        with clock.paused():
            assert clock.next_check_ns() == 50 + 300
            time.pass_ns(100)
            assert clock.next_check_ns() == 50 + 200
            time.pass_ns(clock.next_check_ns())
            assert clock.is_exhausted


def test_pitfall_21_a_nearly_exhausted_clock_does_not_spin(time, clock):
    with clock.run():
        time.pass_ns(999)
        assert clock.next_check_ns() == 10
        with clock.paused():
            time.pass_ns(300)
            assert clock.next_check_ns() == 10
            assert not clock.is_exhausted


def test_pitfall_21_one_pause_is_capped(time, clock):
    with clock.run(), clock.paused():
        time.pass_ns(300)
        assert clock.used_ns == 0
        time.pass_ns(40)
        assert clock.used_ns == 40


def test_pitfall_21_all_pauses_together_are_capped(time, clock):
    with clock.run():
        for _ in range(3):
            with clock.paused():
                time.pass_ns(200)
        assert clock.used_ns == 100


def test_caps_are_those_of_a_run(time, clock):
    for _ in range(2):
        with clock.run():
            with clock.paused():
                time.pass_ns(300)
            with clock.paused():
                time.pass_ns(200)
            assert clock.used_ns == 0


@given(st.lists(st.tuples(st.sampled_from(["pass", "paused", "running", "leave"]), st.integers(0, 400)), max_size=30))
def test_time_is_used_or_free_and_free_time_is_capped(steps):
    time = Time()
    clock = GuestClock(lambda: time.now_ns, LIMITS)
    scopes = [clock.run()]
    scopes[0].__enter__()
    start_ns = time.now_ns
    for step, ns in steps:
        if step == "pass":
            time.pass_ns(ns)
        elif step == "leave":
            if len(scopes) > 1:
                scopes.pop().__exit__(None, None, None)
        else:
            scopes.append(getattr(clock, step)())
            scopes[-1].__enter__()
        passed_ns = time.now_ns - start_ns
        assert passed_ns - LIMITS.pauses_ns_max <= clock.used_ns <= passed_ns
        assert clock.next_check_ns() >= LIMITS.slice_ns_min
