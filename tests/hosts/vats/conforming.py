"""The vat of the conformance suite: the same in every language. See `tests/hosts/test_worker_kinds.py`."""

from kernel_py.vat import E, Exo, make_promise


class Thing(Exo):
    def __init__(self):
        self.count = 0
        self.pending = None

    def bootstrap(self, vats, services):
        return "here"

    def add(self, item):
        self.count += 1
        return self.count

    def make(self):
        return Thing()

    def fail(self, why):
        raise ValueError(why)

    async def relay(self, other, item):
        return await E(other).add(item)

    def wait(self):
        promise, self.pending = make_promise()
        return promise

    def settle(self, value):
        self.pending.resolve(value)


def build_root_object(powers, parameters, baggage):
    return Thing()
