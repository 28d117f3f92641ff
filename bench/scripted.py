"""A kernel whose vats are scripts that reply at once: what takes time is the kernel.

The first vat, the sender, does what the benchmark says; the others answer every message with null, or with references
to new objects. Everything passes through the text protocol, as in a host. What would be stored is made and dropped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from kernel_py.core.control import parse_call
from kernel_py.core.kernel import Kernel
from kernel_py.wire import canonical, protocol
from kernel_py.wire.limits import DEFAULT_LIMITS

SENDER = "v1"

_NULL = {"body": "#null", "slots": []}
_EXPORTS_PER_MESSAGE = 1_000
_SENDS_PER_DELIVERY = 10_000


class ScriptedKernel:
    """Launches one cluster of the sender and so many others.

    A vat's number among the others is that of its root in `targets`.

    Attributes:
        targets: the sender's references to the roots of the others.
    """

    def __init__(self, others: int) -> None:
        self._kernel = Kernel({}, seed="seed")
        self._numbers = iter(range(1, 10**9))
        self._batches: list[list[Any]] = []
        self._stalled: set[str] = set()
        self._exporting = range(0)
        self._imported: list[str] = []
        self.targets: list[str] = []
        vats = {
            name: {"source": "vat.py", "kind": "iframe"}
            for name in ("sender", *(f"other{other}" for other in range(others)))
        }
        config = {"name": "scripted", "bootstrap": "sender", "vats": vats}
        self._root = self._request("launch", {"config": config, "files": {"vat.py": ""}})["root"]

    def send(self, targets: Sequence[str]) -> None:
        """Have the sender send to `targets`, and subscribe to the answers; run until nothing happens."""
        for start in range(0, len(targets), _SENDS_PER_DELIVERY):
            self._send(targets[start : start + _SENDS_PER_DELIVERY])

    def _send(self, targets: Sequence[str]) -> None:
        syscalls: list[Any] = []
        for target in targets:
            vpid = f"p+{next(self._numbers)}"
            message = {"methargs": {"body": '#["echo",["+1"]]', "slots": []}, "result": vpid}
            syscalls += ["send", target, message], ["subscribe", vpid]
        self._batches.append(syscalls)
        self._request("send", {"target": self._root, "method": "go", "args": ""})

    def time_s(self, targets: Sequence[str]) -> float:
        """`send`; the processor time that it took, in seconds. It waits for nothing."""
        started = time.process_time()
        self.send(targets)
        return time.process_time() - started

    def export_objects(self, count: int) -> list[str]:
        """Have the first of the others export objects to the sender; the sender's references to them."""
        for first in range(1, count + 1, _EXPORTS_PER_MESSAGE):
            self._exporting = range(first, min(first + _EXPORTS_PER_MESSAGE, count + 1))
            self.send(self.targets[:1])
        self._exporting = range(0)
        return self._imported

    def stall(self, other: int) -> None:
        """One of the others replies to nothing any more."""
        self._stalled.add(f"v{other + 2}")

    def count_waiting(self, other: int) -> int:
        """How many deliveries one of the others has not replied to."""
        return len(self._kernel.get_inflight(f"v{other + 2}"))

    # --- the loop -------------------------------------------------------------------------------

    def _request(self, method: str, params: dict[str, Any]) -> Any:
        key = f"{method}-{next(self._numbers)}"
        text = json.dumps({"jsonrpc": "2.0", "id": key, "method": method, "params": params})
        self._kernel.request(parse_call(text, DEFAULT_LIMITS), {})
        [response] = self._run()
        self._kernel.acknowledge(key)
        return json.loads(response)["result"]

    def _run(self) -> list[str]:
        """Go on until nothing happens. The responses."""
        kernel = self._kernel
        responses: list[str] = []
        while True:
            kernel.dispatch(next(self._numbers))
            deliveries = [each for each in kernel.take_actions().deliveries if each.vat not in self._stalled]
            responses += [response.text for response in kernel.take_commit().responses]
            if not deliveries:
                return responses
            for each in deliveries:
                done = protocol.parse_vat_text(self._reply(each.vat, each.text), DEFAULT_LIMITS)
                assert isinstance(done, protocol.Done)
                kernel.complete(each.vat, done)

    def _reply(self, vat: str, text: str) -> str:
        _, number, _, delivery = json.loads(text)
        syscalls: list[Any] = []
        if delivery[0] == "message":
            message = delivery[2]
            if vat == SENDER:
                syscalls = self._act(message["methargs"])
                data: Any = _NULL
            else:
                data = {"body": "#null", "slots": [f"o+{export}" for export in self._exporting]}
            syscalls = [*syscalls, ["resolve", [[message["result"], False, data]]]]
        elif delivery[0] == "notify" and self._exporting:
            self._imported += [slot for resolution in delivery[1] for slot in resolution[2]["slots"]]
        return canonical.dump(["done", number, ["ok", None], syscalls, {"memory_bytes": None, "console": []}])

    def _act(self, methargs: dict[str, Any]) -> list[Any]:
        """What the sender does: keep what it gets at its bootstrap, and then what `send` says."""
        if self._batches:
            return self._batches.pop()
        marks = json.loads(methargs["body"][1:])[1][0]
        slots = {name: methargs["slots"][int(mark[1:].partition(".")[0])] for name, mark in marks.items()}
        self.targets = [slots[f"other{other}"] for other in range(len(slots) - 1)]
        return []
