"""Promises and the routing of messages: where a message goes, and what a settlement sets free.

Owns promise life cycles and promise queues. The life cycle is `TRANSITIONS`; what is not in it is a
kernel bug.

A settlement, in order (the reference, 2.4): a notify for each subscriber, the data and the references it
mentions, the promise's queued messages routed again. So notifies precede released messages.

Messages to an unresolved promise wait in its queue. If the vat that decides it is a pipelining one, an item of that
vat's queue stands for each of them: its turn takes the first that waits. So they keep their order whoever comes to
decide the promise meanwhile, and an item whose message went elsewhere is moot.

Everything is a loop over a work list: chains of rejected pipelined messages may be long.

Who waits for a promise without being a vat (a control request, a cluster) is not told in the middle of
all this: what it does may end the very vat whose batch is being applied. `take_waiting` hands it over
when the batch is done. So does `take_calls` the messages to objects of kernel services.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from kernel_py.core import kmarshal, schema
from kernel_py.core.queues import message_mentions
from kernel_py.core.schema import ItemKind, KernelPromise, PromiseState, QueuedMessage, Vat
from kernel_py.core.shared import Shared
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import KernelBug

TRANSITIONS: dict[tuple[PromiseState, str], PromiseState] = {
    (PromiseState.UNRESOLVED, "fulfill"): PromiseState.FULFILLED,
    (PromiseState.UNRESOLVED, "reject"): PromiseState.REJECTED,
}

VAT_TERMINATED = kmarshal.serialize_error("vat terminated")
"""What promises decided by a dead vat, and messages to its objects, are rejected with (SwingSet's text)."""

REVOKED = kmarshal.serialize_error("the object was revoked")


class Promises:
    """Promise life cycles and message routing over one state."""

    def __init__(self, shared: Shared) -> None:
        self._state = shared.state
        self._references = shared.references
        self._queues = shared.queues
        self._vats: Mapping[str, Vat] = shared.state.view(schema.VATS)
        self._released: deque[QueuedMessage] = deque()
        self._waiting: list[tuple[str, str]] = []
        self._calls: list[QueuedMessage] = []
        self._is_draining = False

    def set_decider(self, kpid: str, decider: str | None) -> None:
        """Say who may settle a promise. A pipelining vat is to get what waits for it."""
        state, refs, _, subscribers, head, tail, body, slots = self._references.get_promise(kpid)
        self._set(kpid, KernelPromise(state, refs, decider, subscribers, head, tail, body, slots))
        if head != tail and decider is not None and self._vats[decider].is_pipelining:
            for _ in range(head, tail):
                self._queues.append(decider, ItemKind.PIPELINED, kpid)

    def hand_on(self, kpid: str, target: str) -> bool:
        """Make a promise that a vat decides the result of a message to `target`; False if that cannot be.

        The target is an object, or a promise that a vat decides or that is settled: so no promises come to wait for
        each other, which would be for ever.
        """
        if target[1] == "p":
            promise = self._references.get_promise(target)
            if target == kpid or (promise.state is PromiseState.UNRESOLVED and promise.decider is None):
                return False
        self.set_decider(kpid, None)
        return True

    def take_pipelined(self, vat: str, kpid: str) -> QueuedMessage | None:
        """Remove the first message that waits for a promise that the vat decides; None if there is none.

        What it mentions is held by the caller from now on.
        """
        promise = self._references.get_promise(kpid)
        if promise.decider != vat or promise.queue_head == promise.queue_tail:
            return None
        table, row = schema.promise_queue_table(kpid), str(promise.queue_head)
        message = self._state.get(table, row)
        assert isinstance(message, QueuedMessage)
        self._state.delete(table, row)
        self._set(kpid, promise._replace(queue_head=promise.queue_head + 1))
        return message

    def is_decided_by(self, vat: str, kref: str) -> bool:
        """Whether `kref` is an unresolved promise that the vat may resolve."""
        return kref[1] == "p" and self._references.get_promise(kref).decider == vat

    def subscribe(self, subscriber: str, kpid: str) -> None:
        """Notify `subscriber` when the promise settles, or now if it has."""
        promise = self._references.get_promise(kpid)
        if promise.state is not PromiseState.UNRESOLVED:
            self._notify(subscriber, kpid)
        elif subscriber not in promise.subscribers:
            state, refs, decider, subscribers, head, tail, body, slots = promise
            subscribers = tuple(sorted((*subscribers, subscriber)))
            self._set(kpid, KernelPromise(state, refs, decider, subscribers, head, tail, body, slots))

    def unsubscribe(self, subscriber: str, kpid: str) -> None:
        """Undo `subscribe`, if the promise is still unresolved. Idempotent."""
        promise = self._references.get_promise(kpid)
        if subscriber in promise.subscribers:
            subscribers = tuple(other for other in promise.subscribers if other != subscriber)
            self._set(kpid, promise._replace(subscribers=subscribers))

    def settle(self, kpid: str, data: CapData, *, is_reject: bool) -> None:
        """Settle an unresolved promise with data whose slots are krefs."""
        promise = self._references.get_promise(kpid)
        action = "reject" if is_reject else "fulfill"
        state = TRANSITIONS.get((promise.state, action))
        if state is None:
            raise KernelBug(f"cannot {action} {kpid}: it is {promise.state}")
        for subscriber in promise.subscribers:
            self._notify(subscriber, kpid)
        self._references.take_holds(data.slots)
        self._set(kpid, KernelPromise(state, promise.refs, None, (), 0, 0, data.body, data.slots))
        if promise.queue_head != promise.queue_tail:
            self._release(kpid, promise)

    def _release(self, kpid: str, promise: KernelPromise) -> None:
        """Send on the messages that waited for a promise which has just been settled."""
        table = schema.promise_queue_table(kpid)
        for index in range(promise.queue_head, promise.queue_tail):
            self._released.append(self._state.get(table, str(index)))
            self._state.delete(table, str(index))
        self._drain()

    def send(self, message: QueuedMessage) -> None:
        """Route a message: to a vat's or promise's queue, a service, or its rejection. Holds nothing beforehand."""
        self._route(message)

    def take_waiting(self) -> list[tuple[str, str]]:
        """Requests, timers and clusters whose promise was settled since the last call, as (subscriber, kpid)."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def take_calls(self) -> list[QueuedMessage]:
        """Messages to services since the last call, in order. What they mention is held, by the caller from now on."""
        calls, self._calls = self._calls, []
        return calls

    def _drain(self) -> None:
        if self._is_draining:
            return
        self._is_draining = True
        try:
            while self._released:
                message = self._released.popleft()
                self._route(message)
                self._references.drop_holds(message_mentions(message))
        finally:
            self._released.clear()
            self._is_draining = False

    def _notify(self, subscriber: str, kpid: str) -> None:
        if subscriber[0] == "v":
            self._queues.append(subscriber, ItemKind.NOTIFY, kpid)
        else:
            self._waiting.append((subscriber, kpid))

    def _route(self, message: QueuedMessage) -> None:
        target = message.target
        if target[1] == "p":
            promise = self._references.get_promise(target)
            match promise.state:
                case PromiseState.UNRESOLVED:
                    self._enqueue(target, promise, message)
                    return
                case PromiseState.REJECTED:
                    self._reject_result(message, CapData(promise.body, promise.slots))
                    return
                case PromiseState.FULFILLED:
                    found = kmarshal.find_single_slot(CapData(promise.body, promise.slots))
                    if found is None:
                        self._reject_result(message, _not_callable(promise, message))
                        return
                    target = found
        owner = self._references.find_owner(target)
        if owner is None:
            self._reject_result(message, REVOKED if self._references.is_revoked(target) else VAT_TERMINATED)
            return
        if target != message.target:
            message = message._replace(target=target)
        if schema.is_service(owner):
            self._calls.append(message)
            self._references.take_holds(message_mentions(message))
        else:
            self._queues.append(owner, ItemKind.MESSAGE, message)

    def _enqueue(self, kpid: str, promise: KernelPromise, message: QueuedMessage) -> None:
        table = schema.promise_queue_table(kpid)
        self._state.set(table, str(promise.queue_tail), message)
        self._set(kpid, promise._replace(queue_tail=promise.queue_tail + 1))
        self._references.take_holds(message_mentions(message))
        if promise.decider is not None and self._vats[promise.decider].is_pipelining:
            self._queues.append(promise.decider, ItemKind.PIPELINED, kpid)

    def _reject_result(self, message: QueuedMessage, data: CapData) -> None:
        if message.result is not None:
            self.settle(message.result, data, is_reject=True)

    def _set(self, kpid: str, promise: KernelPromise) -> None:
        self._state.set(schema.PROMISES, kpid, promise)


def _not_callable(promise: KernelPromise, message: QueuedMessage) -> CapData:
    method = kmarshal.method_of(message.body)
    value = kmarshal.render(CapData(promise.body, promise.slots))
    return kmarshal.serialize_error(f"data is not callable, has no method {method}: {value:.200}", "TypeError")
