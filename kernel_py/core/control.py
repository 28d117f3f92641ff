"""The control interface: JSON-RPC 2.0 requests of a panel, a script or a command line.

Owns the request table. A request's ``id`` is its idempotency key: a command is carried out once however often it
is sent, and its response is kept until the client acknowledges it. Queries change nothing and are not recorded.

| method | params | result |
|---|---|---|
| launch | config, files | cluster, vats, root, result: settled; once bootstrap has settled |
| send | target, method, args | settled |
| terminateVat | vat, reason? | {} |
| terminateCluster | cluster, reason? | {} |
| reloadCluster | cluster | as launch |
| upgradeVat | vat, files, source?, packages?, parameters?, message? | incarnation; once the new one has started |
| pauseVat, resumeVat, restartVat | vat | {} |
| revoke, pin, unpin | object | {} |
| collectGarbage | vat? | vats: those that were asked |
| status | | kernel, clusters, vats |
| objects | vat?, offset?, limit? | objects, total |
| promise | promise | settled, or {status: "pending"} |
| provideVat | vat | {}: the vat comes into memory as soon as there is room |
| keepVat | vat, keep | {}: the vat is provided, and only sent away for want of memory; or is treated as all others |
| evictVat | vat | evicted: whether the vat was at rest, and goes |

The last three are the host's, and of the moment: which vats are in memory is no state of the kernel's.

So are those about the past of a living vat (`kernel_py.hosts.travel`). Its heap as it was after a delivery is made
again, in a realm that is not connected to the kernel, and stays there until it is ended, or not looked at for long:

| method | params | result |
|---|---|---|
| deliveries | vat, first?, limit? | deliveries: number, time_ms, what, method, target, syscalls, error of each; total |
| travel | vat, delivery | objects: [group, name, type, value] of each; store: [key, value] of each; is_cut |
| travel | vat, delivery, expression | value, type, error: a traceback or ""; console |
| compareTravels | vat, delivery, other | objects, store: change, name, before, after of each difference; is_cut |
| endTravel | vat | {}: what was made of its past is gone |

An expression is Python, may await, sees the main file's globals, `root`, `baggage` and `objects` (by vref), and has no
effect outside that heap. `travel` and `compareTravels` also give delivery, total, and note: what was wrong, or "".

The host of the kernel answers two more, which the kernel itself knows nothing of; see `kernel_py.hosts.transfers`:

| export | | parts, pieces; the archive has come before, as notifications |
|---|---|---|
| import | pieces | parts; the archive that was sent before, as notifications, has replaced the whole state |

settled is ``{status: "fulfilled" | "rejected", value, body, slots}``; value is the Python form, for people.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

from kernel_py.core import jsonschema, kmarshal, literals, schema
from kernel_py.core.cluster_config import PACKAGES_SCHEMA
from kernel_py.core.clusters import describe_settled
from kernel_py.core.outputs import Respond
from kernel_py.core.promises import Promises
from kernel_py.core.schema import PromiseState, QueuedMessage, Request, VatState
from kernel_py.core.shared import Shared
from kernel_py.core.vats import Vats
from kernel_py.wire import canonical
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import KernelError, MarshalError, RequestError, cut_middle
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.refs import InvalidRef, Vref, is_promise, is_vat_allocated, parse_kref

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
SERVER_ERROR = -32000

COMMANDS = (
    "launch",
    "send",
    "terminateVat",
    "terminateCluster",
    "reloadCluster",
    "upgradeVat",
    "pauseVat",
    "resumeVat",
    "restartVat",
    "revoke",
    "pin",
    "unpin",
    "collectGarbage",
)
GROWING = ("launch", "send", "reloadCluster", "upgradeVat")
"""Commands that are refused while storage is short."""
QUERIES = ("status", "objects", "promise")
WAREHOUSE = ("provideVat", "keepVat", "evictVat")
TRAVEL = ("deliveries", "travel", "compareTravels", "endTravel")
OBJECTS_LIMIT = 500

_TEXT = {"type": "string"}
_REASON = {"type": "string", "maxLength": DEFAULT_LIMITS.error_chars_max}
_COUNT = {"type": "integer"}
_EXPRESSION = {"type": "string", "maxLength": DEFAULT_LIMITS.look_chars_max}


def _params(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "additionalProperties": False,
        "properties": {**required, **(optional or {})},
    }


PARAMS: dict[str, dict[str, Any]] = {
    "launch": _params({"config": {}, "files": {}}),
    "send": _params({"target": _TEXT, "method": _TEXT, "args": _TEXT}),
    "terminateVat": _params({"vat": _TEXT}, {"reason": _REASON}),
    "terminateCluster": _params({"cluster": _TEXT}, {"reason": _REASON}),
    "reloadCluster": _params({"cluster": _TEXT}),
    "upgradeVat": _params(
        {"vat": _TEXT, "files": {}},
        {"source": _TEXT, "packages": PACKAGES_SCHEMA, "parameters": {"type": "object"}, "message": _REASON},
    ),
    "pauseVat": _params({"vat": _TEXT}),
    "resumeVat": _params({"vat": _TEXT}),
    "restartVat": _params({"vat": _TEXT}),
    "revoke": _params({"object": _TEXT}),
    "pin": _params({"object": _TEXT}),
    "unpin": _params({"object": _TEXT}),
    "collectGarbage": _params({}, {"vat": _TEXT}),
    "status": _params({}),
    "objects": _params({}, {"vat": _TEXT, "offset": _COUNT, "limit": _COUNT}),
    "promise": _params({"promise": _TEXT}),
    "provideVat": _params({"vat": _TEXT}),
    "keepVat": _params({"vat": _TEXT, "keep": {"type": "boolean"}}),
    "evictVat": _params({"vat": _TEXT}),
    "deliveries": _params({"vat": _TEXT}, {"first": _COUNT, "limit": _COUNT}),
    "travel": _params({"vat": _TEXT, "delivery": _COUNT}, {"expression": _EXPRESSION}),
    "compareTravels": _params({"vat": _TEXT, "delivery": _COUNT, "other": _COUNT}),
    "endTravel": _params({"vat": _TEXT}),
}

_KEY = re.compile(r"[A-Za-z0-9_\-]+")


@dataclass(frozen=True, slots=True)
class Call:
    """A parsed JSON-RPC request; a notification has an empty key."""

    key: str
    method: str
    params: dict[str, Any]


def parse_call(text: str, limits: Limits) -> Call:
    """Parse a client's text.

    Raises:
        RequestError: it is not a JSON-RPC request with a usable id. `find_key` may still know whose it is.
    """
    if len(text) > limits.request_chars_max:
        raise RequestError(f"the request has {len(text):,} characters; the limit is {limits.request_chars_max:,}")
    try:
        value = canonical.load(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the request is not JSON: {error}") from None
    match value:
        case {"jsonrpc": "2.0", "method": str(method)}:
            key = value.get("id", "")
            params = value.get("params", {})
        case _:
            raise RequestError('not a JSON-RPC 2.0 request: {"jsonrpc": "2.0", "id", "method", "params"} is wanted')
    if "id" in value and not _is_key(key, limits):
        raise RequestError(
            f"id must be a string of letters, digits, - and _, at most {limits.request_key_chars_max}: "
            "it is the request's idempotency key"
        )
    if not isinstance(params, dict):
        raise RequestError("params must be an object")
    return Call(key, method, params)


def find_key(text: str, limits: Limits) -> str | None:
    """The id of a text that `parse_call` refused, so that its sender learns of it; None if it has none."""
    try:
        value = canonical.load(text) if len(text) <= limits.request_chars_max else None
    except (ValueError, RecursionError):
        return None
    key = value.get("id") if isinstance(value, dict) else None
    return key if _is_key(key, limits) else None


def _is_key(value: object, limits: Limits) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) <= limits.request_key_chars_max and _KEY.fullmatch(value) is not None


def dump_result(key: str, result: Any) -> str:
    return canonical.dump({"jsonrpc": "2.0", "id": key, "result": result})


def dump_error(key: str | None, code: int, error: KernelError) -> str:
    """A JSON-RPC error response; `key` None if the request's id is unknown."""
    data = {"kind": type(error).__name__, "path": getattr(error, "path", "")}
    message = cut_middle(str(error), DEFAULT_LIMITS.error_chars_max)
    return canonical.dump({"jsonrpc": "2.0", "id": key, "error": {"code": code, "message": message, "data": data}})


class Control:
    """Carries out control requests over one state."""

    def __init__(self, shared: Shared, promises: Promises, vats: Vats) -> None:
        self._state = shared.state
        self._references = shared.references
        self._queues = shared.queues
        self._outbox = shared.log.outbox
        self._limits = shared.limits
        self._promises = promises
        self._vats = vats

    # --- requests -------------------------------------------------------------------------------

    def find_request(self, key: str) -> Request | None:
        record = self._state.get(schema.REQUESTS, key)
        assert record is None or isinstance(record, Request)
        return record

    def carry_out(self, call: Call, run: Callable[[Call], None]) -> None:
        """Begin a command that was not seen before; its response is put into the outbox now or later.

        Args:
            run: carries out what is not a send.

        Raises:
            RequestError: the request is wrong; nothing must be kept of it.
        """
        jsonschema.validate(call.params, PARAMS[call.method], "params")
        self._record(call)
        if call.method == "send":
            self._send(call.key, call.params["target"], call.params["method"], call.params["args"])
        else:
            run(call)

    def _record(self, call: Call) -> None:
        if self._state.count(schema.REQUESTS) >= self._limits.request_results_max:
            self._forget_oldest(max(1, self._limits.request_results_max // 10))
        sequence = self._state.next_number(schema.NEXT_SEQUENCE)
        self._state.set(schema.REQUESTS, call.key, Request(sequence, call.method, "", ""))

    def _forget_oldest(self, count: int) -> None:
        """Drop answers that nobody acknowledged; several at once, since finding them looks at every request."""
        rows = [(self._state.get(schema.REQUESTS, key), key) for key in self._state.rows(schema.REQUESTS)]
        answered = sorted((record.sequence, key) for record, key in rows if record.response)
        if not answered:
            raise RequestError(f"{len(rows):,} requests wait for an answer; that is the limit. Try again later")
        for _, key in answered[:count]:
            self._state.delete(schema.REQUESTS, key)

    def answer(self, key: str, result: dict[str, Any] | None, error: str) -> None:
        """Finish a command. It may be gone, if its client acknowledged it unanswered."""
        record = self.find_request(key)
        if record is None:
            return
        text = dump_error(key, SERVER_ERROR, RequestError(error)) if result is None else dump_result(key, result)
        self._state.set(schema.REQUESTS, key, record._replace(promise="", response=text))
        self._outbox.responses.append(Respond(key, text))

    def promise_settled(self, key: str, kpid: str) -> None:
        """The promise that a send waits for is settled. If it mentions something, it is kept for a while."""
        promise = self._references.get_promise(kpid)
        self.answer(key, describe_settled(promise.state, CapData(promise.body, promise.slots)), "")
        if not promise.slots:
            self._references.drop_hold(kpid)
            return
        number = self._state.next_number(schema.NEXT_HELD)
        self._state.set(schema.HELD, str(number), kpid)
        if self._state.count(schema.HELD) > self._limits.results_held_max:
            oldest = str(number - self._limits.results_held_max)
            self._references.drop_hold(self._state.get(schema.HELD, oldest))
            self._state.delete(schema.HELD, oldest)

    def acknowledge(self, key: str) -> None:
        """The client has the answer and will not ask again."""
        record = self.find_request(key)
        if record is not None and record.response:
            self._state.delete(schema.REQUESTS, key)

    def _send(self, key: str, target_text: str, method: str, args_text: str) -> None:
        target = self._parse_target(target_text)
        if not method or len(method) > self._limits.method_chars_max:
            raise RequestError(f"a method name has 1 to {self._limits.method_chars_max} characters", "params.method")
        args, kwargs = literals.parse_arguments(args_text)
        try:
            call = kmarshal.serialize_call(method, args, kwargs)
        except MarshalError as error:
            raise RequestError(str(error), "args") from None
        for slot in call.slots:
            if self._state.get(schema.PROMISES if slot[1] == "p" else schema.OBJECTS, slot) is None:
                raise RequestError(f"there is no {slot}", "args")
        result = self._references.create_promise(None)
        self._references.take_hold(result)
        record = self.find_request(key)
        assert record is not None
        self._state.set(schema.REQUESTS, key, record._replace(promise=result))
        self._promises.subscribe(schema.request_waiter(key), result)
        self._promises.send(QueuedMessage(target, call.body, call.slots, result))

    def _parse_target(self, text: str) -> str:
        try:
            target = parse_kref(text)
        except InvalidRef as error:
            raise RequestError(str(error), "params.target") from None
        if target[1] == "p":
            if self._state.get(schema.PROMISES, target) is None:
                raise RequestError(
                    f"there is no promise {target}; it may have settled and been collected", "params.target"
                )
            return target
        record = self._state.get(schema.OBJECTS, target)
        if record is None:
            raise RequestError(f"there is no object {target}; ask `objects` for those there are", "params.target")
        if self._references.is_revoked(target):
            raise RequestError(f"{target} ({record.iface}) was revoked", "params.target")
        if self._references.find_owner(target) is None:
            ended = f"{target} ({record.iface}) belonged to a vat that was terminated, or to its cluster"
            raise RequestError(ended, "params.target")
        return target

    def parse_living_vat(self, text: str) -> str:
        record = self._vats.find(text)
        if record is None:
            raise RequestError(f"there is no vat {text!r:.100}; ask `status` for those there are", "params.vat")
        if record.state is VatState.TERMINATED:
            raise RequestError(f"{text} ({record.name}) was terminated already: {record.reason}", "params.vat")
        return text

    # --- queries --------------------------------------------------------------------------------

    def query(self, call: Call, host: dict[str, Any]) -> dict[str, Any]:
        """Answer a query. `host` is the host's part of the status: ``{kernel: {...}, vats: {vat: {...}}}``.

        Raises:
            RequestError: the request is wrong.
        """
        jsonschema.validate(call.params, PARAMS[call.method], "params")
        match call.method:
            case "status":
                return self._status(host)
            case "objects":
                return self._objects(call.params)
            case _:
                return self._promise(call.params["promise"])

    def _status(self, host: dict[str, Any]) -> dict[str, Any]:
        counts = {
            "cranks": self._state.get(schema.KERNEL, schema.CRANKS) or 0,
            "objects": self._state.count(schema.OBJECTS),
            "promises": self._state.count(schema.PROMISES),
            "inflight": self._state.count(schema.INFLIGHT),
        }
        clusters = [self._describe_cluster(cluster) for cluster in _by_number(self._state.rows(schema.CLUSTERS))]
        vats = [
            self._describe_vat(vat) | host.get("vats", {}).get(vat, {})
            for vat in _by_number(self._state.rows(schema.VATS))
        ]
        return {"kernel": counts | host.get("kernel", {}), "clusters": clusters, "vats": vats}

    def _describe_cluster(self, cluster_id: str) -> dict[str, Any]:
        cluster = self._state.get(schema.CLUSTERS, cluster_id)
        return {
            "cluster": cluster_id,
            "name": cluster.name,
            "state": cluster.state.value,
            "vats": dict(cluster.vats),
            "bootstrap": cluster.bootstrap,
            "reason": cluster.reason,
        }

    def _describe_vat(self, vat: str) -> dict[str, Any]:
        record = self._vats.get(vat)
        counters = self._state.get(schema.COUNTERS, vat)
        return {
            "vat": vat,
            "name": record.name,
            "cluster": record.cluster,
            "kind": record.kind,
            "state": record.state.value,
            "incarnation": record.incarnation,
            "root": record.root,
            "reason": record.reason,
            "deliveries": 0 if counters is None else counters.delivered,
            "snapshots": list(self._vats.snapshots.get_mark(vat).kept),
            "queued": self._queues.count(vat),
            "inflight": counters is not None and counters.dispatched > counters.delivered,
        }

    def _objects(self, params: dict[str, Any]) -> dict[str, Any]:
        offset, limit = int(params.get("offset", 0)), int(params.get("limit", OBJECTS_LIMIT))
        if "vat" in params:
            vat = self.parse_living_vat(params["vat"])
            krefs = [
                kref
                for kref, entry in self._vats.iter_entries(vat)
                if kref[1] == "o" and is_vat_allocated(Vref(entry.vref))
            ]
        else:
            krefs = self._state.rows(schema.OBJECTS)
        krefs = _by_number(krefs)
        shown = krefs[max(0, offset) : max(0, offset) + min(max(0, limit), OBJECTS_LIMIT)]
        return {"objects": list(map(self._describe_object, shown)), "total": len(krefs)}

    def _describe_object(self, kref: str) -> dict[str, Any]:
        _, reachable, recognizable, iface = self._references.get_object(kref)
        owner = self._references.find_owner(kref)
        return {
            "kref": kref,
            "vat": owner,
            "iface": iface,
            "reachable": reachable,
            "recognizable": recognizable,
            "pinned": self._state.get(schema.PINS, kref) is not None,
            "revoked": self._references.is_revoked(kref),
        }

    def _promise(self, text: str) -> dict[str, Any]:
        try:
            kpid = parse_kref(text)
        except InvalidRef as error:
            raise RequestError(str(error), "params.promise") from None
        promise = self._state.get(schema.PROMISES, kpid) if is_promise(kpid) else None
        if promise is None:
            raise RequestError(
                f"there is no promise {text!r:.100}; it may have settled and been collected", "params.promise"
            )
        if promise.state is PromiseState.UNRESOLVED:
            return {"status": "pending", "decider": promise.decider}
        return describe_settled(promise.state, CapData(promise.body, promise.slots))


def _by_number(ids: list[str]) -> list[str]:
    """Bring sorted ids of one kind, such as v10 and v2, into the order of their numbers."""
    return sorted(ids, key=len)
