"""Control requests to the kernel, made from a page of the extension.

The page needs no script of its own: what is needed is evaluated in it. Requests are idempotent, as the panel's are: a
lost port is opened again and everything unanswered is sent anew with the same ids.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable
from typing import Any

CLIENT_SCRIPT = """
(() => {
  if (globalThis.controlClient) return;
  const PING_MS = 1000;
  const SILENCE_MS = 4000;
  const calls = new Map();
  const answers = new Map();
  const kept = new Map();
  const events = [];
  let port = null;
  let isSubscribed = false;
  let reconnects = -1;
  let heardMs = 0;
  const write = (message) => { try { port.postMessage(JSON.stringify({ jsonrpc: "2.0", ...message })); } catch {} };
  const open = () => {
    reconnects++;
    heardMs = performance.now();
    port = chrome.runtime.connect();
    const mine = port;
    port.onMessage.addListener((text) => {
      const message = JSON.parse(text);
      heardMs = performance.now();
      if (message.method === "event") { events.push(message.params); return; }
      const call = calls.get(message.id);
      if (!call) return;
      calls.delete(message.id);
      const answer = { ...message, ms: performance.now() - call.startedMs };
      if (call.isKept) {
        kept.set(message.id, answer);
      } else {
        write({ method: "ack", params: { id: message.id } });
        answers.set(message.id, answer);
      }
      call.resolve(answer);
    });
    port.onDisconnect.addListener(() => {
      if (port !== mine) return;
      port = null;
      if (calls.size > 0 || isSubscribed) open();
    });
    if (isSubscribed) write({ id: crypto.randomUUID(), method: "subscribe", params: {} });
    for (const { request } of calls.values()) write(request);
  };
  const reopen = () => { const old = port; open(); old?.disconnect(); };
  // A port to a worker that died while it started is dead without a sign.
  setInterval(() => {
    if (calls.size === 0) return;
    if (performance.now() - heardMs > SILENCE_MS) reopen();
    else write({ id: "ping", method: "ping", params: {} });
  }, PING_MS);
  globalThis.controlClient = {
    events,
    get reconnects() { return reconnects; },
    /** Makes a request; resolves to the whole answer, with the milliseconds that it took. */
    request(id, method, params, isKept = false) {
      return new Promise((resolve) => {
        const request = { id, method, params };
        const isOpen = port !== null;
        calls.set(id, { request, resolve, isKept, startedMs: performance.now() });
        if (isOpen) write(request);
        else open();
      });
    },
    /** The answer to a request that was started earlier, when it comes. */
    async answer(id) {
      while (!answers.has(id)) await new Promise((resolve) => setTimeout(resolve, 5));
      return answers.get(id);
    },
    /** The answers to kept requests since the last time, by id. Only now they are acknowledged. */
    take() {
      const taken = Object.fromEntries(kept);
      for (const id of kept.keys()) write({ method: "ack", params: { id } });
      kept.clear();
      return taken;
    },
    async disconnected() { while (port) await new Promise((resolve) => setTimeout(resolve, 100)); },
    get unanswered() { return calls.size; },
    subscribe() { isSubscribed = true; write({ id: crypto.randomUUID(), method: "subscribe", params: {} }); },
  };
  open();
})()
"""

Evaluate = Callable[[str], Any]
"""Evaluates an expression in the page, awaiting a promise, and returns its JSON value."""


class ControlError(Exception):
    """The kernel answered a request with an error."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error["message"])
        self.path = error["data"]["path"]
        self.kind = error["data"]["kind"]


class Control:
    """Makes control requests in a page."""

    def __init__(self, evaluate: Evaluate) -> None:
        self.evaluate = evaluate
        self._numbers = itertools.count(1)
        self.last_ms = 0.0
        evaluate(CLIENT_SCRIPT)

    def request(self, method: str, /, **params: Any) -> Any:
        """The result of a request.

        Raises:
            ControlError: the kernel refused it.
        """
        return self.result(self.start(method, **params))

    def start(self, method: str, /, *, key: str = "", **params: Any) -> str:
        """Make a request without waiting. Returns its id, for `result`; `key` is the id of one made earlier."""
        key = key or f"e2e-{next(self._numbers)}-{uuid.uuid4()}"
        arguments = f"{json.dumps(key)}, {json.dumps(method)}, {json.dumps(params)}"
        self.evaluate(f"void controlClient.request({arguments})")
        return key

    def result(self, key: str) -> Any:
        answer = self.evaluate(f"controlClient.answer({json.dumps(key)})")
        self.last_ms = answer["ms"]
        if "error" in answer:
            raise ControlError(answer["error"])
        return answer["result"]

    def ask(self, key: str, method: str, params: dict[str, Any]) -> None:
        """Make a request without waiting, whose answer `take` gives: none is lost if the browser dies before that."""
        self.evaluate(
            f"void controlClient.request({json.dumps(key)}, {json.dumps(method)}, {json.dumps(params)}, true)"
        )

    def take(self) -> dict[str, dict[str, Any]]:
        """The answers that have come to what was asked, by key; each is given once."""
        answers: dict[str, dict[str, Any]] = self.evaluate("controlClient.take()")
        return answers

    def launch(self, files: dict[str, str], vats: dict[str, Any], bootstrap: str = "") -> dict[str, Any]:
        """Launch a cluster; `vats` is that part of its config."""
        config = {"bootstrap": bootstrap or next(iter(vats)), "vats": vats}
        launched: dict[str, Any] = self.request("launch", config=config, files=files)
        return launched

    def launch_one(self, source: str, kind: str) -> str:
        """Launch one vat. Returns the kref of its root."""
        root: str = self.launch({"vat.py": source}, {"vat": {"source": "vat.py", "kind": kind}})["root"]
        return root

    def send(self, target: str, method: str, args: str = "") -> dict[str, Any]:
        """Send a message and wait until its promise is settled."""
        settled: dict[str, Any] = self.request("send", target=target, method=method, args=args)
        return settled

    def call(self, target: str, method: str, args: str = "") -> str:
        """The same for a message that must succeed. Returns the value as Python text."""
        settled = self.send(target, method, args)
        assert settled["status"] == "fulfilled", settled
        value: str = settled["value"]
        return value

    @property
    def reconnects(self) -> int:
        """How often the port was lost and opened again."""
        count: int = self.evaluate("controlClient.reconnects")
        return count

    def wait_for_disconnect(self) -> None:
        """Wait until the service worker has stopped. Nothing may be unanswered."""
        self.evaluate("controlClient.disconnected()")

    def wait_ms(self, milliseconds: int) -> None:
        """Let time pass, in the page."""
        self.evaluate(f"new Promise((resolve) => setTimeout(resolve, {milliseconds}))")

    def vat_status(self, vat: str) -> dict[str, Any]:
        status = self.request("status")
        return next(found for found in status["vats"] if found["vat"] == vat)

    def subscribe(self) -> None:
        self.evaluate("controlClient.subscribe()")

    def take_events(self) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = self.evaluate("controlClient.events.splice(0)")
        return events
