"""Messages through one reference arrive in the order in which they were sent, whatever becomes of the reference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.vat.driving import DrivenVat, Ref

SOURCE = """
class Target(Exo):
    def __init__(self): self.seen = []
    def take(self, reference, number): self.seen.append([reference, number])
    def get_seen(self): return self.seen

class Root(Exo):
    def __init__(self):
        self.target = Target()

    def get_seen(self): return self.target.seen

    async def run(self, count, steps, target):
        promises = [make_promise() for _ in range(count)]
        number = 0
        for step in [*steps, *(["become", n, count] for n in range(count))]:
            match step:
                case ["send", reference]:
                    E(promises[reference][0]).take(reference, number)
                    number += 1
                case ["become", reference, other]:
                    value = promises[other][0] if reference < other < count else target or self.target
                    promises[reference][1].resolve(value)
                case ["ask", reference]:
                    promises[reference][1].resolve(E(target).get() if target else asyncio.ensure_future(self.get()))
                case ["pause", times]:
                    for _ in range(times): await asyncio.sleep(0)

    async def get(self):
        await asyncio.sleep(0)
        return self.target
"""

COUNT = 4
references = st.integers(0, COUNT - 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), references),
        st.tuples(st.just("become"), references, st.integers(0, COUNT)),
        st.tuples(st.just("ask"), references),
        st.tuples(st.just("pause"), st.integers(1, 4)),
    ),
    max_size=30,
)


def assert_in_order(seen, steps):
    assert len(seen) == sum(1 for step in steps if step[0] == "send")
    for reference in range(COUNT):
        numbers = [number for by, number in seen if by == reference]
        assert numbers == sorted(numbers)


@given(steps)
def test_to_an_object_of_this_vat(steps):
    vat = DrivenVat(SOURCE)
    vat.call("run", COUNT, [list(step) for step in steps], None)
    [(_, (_, seen))] = vat.call("get_seen")
    assert_in_order(seen, steps)


@given(steps)
def test_to_an_object_of_another_vat(steps):
    vat = DrivenVat(SOURCE)
    syscalls = vat.call("run", COUNT, [list(step) for step in steps], Ref("o-50"))
    asked = [syscall[4] for syscall in syscalls if syscall[0] == "send" and syscall[2] == "get"]
    for vpid in asked:
        syscalls += vat.notify((vpid, Ref("o-50")))
    seen = [syscall[3] for syscall in syscalls if syscall[0] == "send" and syscall[2] == "take"]
    assert_in_order(seen, steps)
    vat.replayed()  # and all of it replays
