"""Drives a wasm vat by its protocol, on wasmtime or in Node. Native only."""

from __future__ import annotations

import base64
import json
from typing import Any

from kernel_py.hosts.native.wasm import make_wasm_session
from kernel_py.vat.store import VatStore
from kernel_py.wasm.engine import Engine
from kernel_py.wasm.limits import DEFAULT_WASM_LIMITS, WasmLimits
from kernel_py.wire import canonical, protocol
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from tests.vat.driving import TIME_MS, Failed, capdata, message
from tests.wasm.node_engine import NodeEngine


class DrivenWasm:
    """A wasm vat whose kernel is the test.

    Attributes:
        usage, console: what the last delivery cost, and printed.
        transcript: the entries of all deliveries that were carried out, as texts.
    """

    def __init__(
        self,
        engine: Engine | NodeEngine,
        code: bytes,
        *,
        make_store: Any = VatStore,
        limits: Limits = DEFAULT_LIMITS,
        wasm_limits: WasmLimits = DEFAULT_WASM_LIMITS,
        meter: dict[str, int] | None = None,
        start: bool = True,
    ) -> None:
        self.engine = engine
        files = {"vat.wasm": base64.b64encode(code).decode()}
        if meter is not None:
            files[protocol.METERS_PATH] = canonical.dump({"tested": meter})
        self.spec = protocol.VatSpec("v1", 0, "tested", "seed", "vat.wasm", files)
        self.session: Any = self._open_session(make_store=make_store, limits=limits, wasm_limits=wasm_limits)
        self.number = 0
        self.usage: dict[str, Any] = {}
        self.console: list[str] = []
        self.transcript: list[str] = []
        self.say(protocol.dump_start(self.spec))
        if start:
            self.go()
            assert self.deliver(["startVat", capdata(None)])[0] == "ok"

    def _open_session(self, **options: Any) -> Any:
        if isinstance(self.engine, NodeEngine):
            return self.engine.open_session(
                options.get("limits", DEFAULT_LIMITS), options.get("wasm_limits", DEFAULT_WASM_LIMITS)
            )
        return make_wasm_session(self.engine, **options)

    def say(self, text: str) -> list[Any]:
        answers = [json.loads(answer) for answer in self.session.receive(text)]
        for answer in answers:
            if answer[0] == "failed":
                raise Failed(answer[1])
        return answers

    def go(self) -> None:
        assert self.say(protocol.dump_go(self.number)) == [["ready", self.number]]

    def deliver(self, delivery: list[Any]) -> tuple[str, str | None, list[Any]]:
        """Make the next delivery: its status, the reason or None, and the syscalls."""
        self.number += 1
        text = canonical.dump(delivery)
        time_ms = TIME_MS + self.number
        [[_, _, [status, error], syscalls, usage]] = self.say(protocol.dump_deliver(self.number, time_ms, text))
        self.usage = usage
        self.console = usage["console"]
        if status != "poison":
            self.transcript.append(
                protocol.dump_transcript_entry(self.number, time_ms, text, canonical.dump(syscalls), error)
            )
        return status, error, syscalls

    def call(self, method: str, *args: object, target: str = "o+0") -> tuple[str, str | None, list[Any]]:
        return self.deliver(message(target, method, *args))

    def told(self, method: str, text: str = "") -> list[str]:
        """Make a puppet do something; what it printed."""
        status, error, _ = self.call(method, text)
        assert status == "ok", error
        return self.console

    def replayed(self, **options: Any) -> DrivenWasm:
        again = DrivenWasm(self.engine, b"", start=False, **options)
        again.session = again._open_session(**options)
        again.say(protocol.dump_start(self.spec))
        again.say(protocol.dump_replay(self.transcript))
        again.number = self.number
        again.go()
        return again
