"""A counter: the smallest vat."""

from kernel_py.vat import Exo


class Counter(Exo):
    def __init__(self, count: int = 0) -> None:
        self.count = count

    def increment(self, by: int = 1) -> int:
        """Add `by`, and answer the new count."""
        self.count += by
        print(f"count is {self.count}")
        return self.count

    def read(self) -> int:
        return self.count

    def make_counter(self, start: int = 0) -> "Counter":
        """Another counter, independent of this one."""
        return Counter(start)

    def bootstrap(self, vats: dict, services: dict) -> str:
        return f"counting from {self.count}"


def build_root_object(powers, parameters, baggage):
    return Counter((parameters or {}).get("start", 0))
