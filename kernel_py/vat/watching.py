"""Watched promises: a promise's outcome comes to a durable object, in whatever incarnation of the vat it is then.

    watch_promise(E(auction).result(), self, lot)

calls ``self.on_fulfilled(value, lot)``, or ``self.on_rejected(error, lot)``, once the promise settles: after the
vat has been upgraded as well, when no ``await`` is left.

Owns the durable map of watched promises, from vpid to ``[[watcher, *args], ...]``. A promise of this vat is told to the
kernel, and subscribed to, when it is watched: so the kernel, which rejects at an upgrade what the old incarnation would
have settled, tells the new one.

Source: watchedPromises.js; the reference, 4.5.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from kernel_py.vat import schema
from kernel_py.vat.collections import DurableMap
from kernel_py.vat.loop import running_vat_loop
from kernel_py.vat.methods import find_method
from kernel_py.vat.promise import Promise, State
from kernel_py.vat.representative import Representative
from kernel_py.vat.vdata import Vdata

_METHODS = {State.FULFILLED: "on_fulfilled", State.REJECTED: "on_rejected"}


class Watches:
    """The watched promises of one incarnation of a vat.

    Args:
        publish: lets the kernel know a promise that this vat settles, and subscribes to it; its vpid.
        report: tells the console of a failure that no watcher looks at.
    """

    def __init__(
        self,
        vdata: Vdata,
        publish: Callable[[Promise[Any]], str],
        report: Callable[[str, BaseException | None], None],
    ) -> None:
        self._vdata = vdata
        self._publish = publish
        self._report = report
        self._table: DurableMap[str, Any] | None = None

    def start(self, make_promise: Callable[[str], Promise[Any]]) -> None:
        """Watch what earlier incarnations watched.

        Args:
            make_promise: makes the promise of a vpid that the kernel will settle.
        """
        for vpid in self.provide_table():
            make_promise(vpid).react(partial(self._settle, vpid))

    def watch(self, promise: Promise[Any], watcher: object, args: tuple[object, ...]) -> None:
        """See `watch_promise`."""
        if not isinstance(watcher, Representative) or watcher._vref_[2] != "d":
            raise TypeError(f"a watcher is an instance of a Durable class, not {type(watcher).__name__}")
        if not any(find_method(watcher, name) for name in _METHODS.values()):
            raise TypeError(f"{type(watcher).__name__} has neither on_fulfilled nor on_rejected")
        entry = (watcher, *args)
        if promise.state is not State.PENDING:
            self._vdata.serialize(entry, "watch_promise", is_durable=True)  # fails now, as it would otherwise
            promise.react(partial(self._call, entry))
            return
        table = self.provide_table()
        self._vdata.serialize(entry, "watch_promise", is_durable=True)
        vpid = self._publish(promise)
        if vpid not in table:
            promise.react(partial(self._settle, vpid))
        table[vpid] = [*table.get(vpid, ()), entry]

    def _settle(self, vpid: str, promise: Promise[Any]) -> None:
        for entry in self.provide_table().pop(vpid, ()):
            self._call(entry, promise)

    def _call(self, entry: tuple[Any, ...], promise: Promise[Any]) -> None:
        watcher, *args = entry
        is_rejected = promise.state is State.REJECTED
        outcome = promise.error() if is_rejected else promise.value
        name = _METHODS[promise.state]
        method = find_method(watcher, name)
        if method is None:
            if is_rejected:
                self._report(f"{watcher!r} has no on_rejected", outcome)
            return
        result: Promise[Any] = Promise(running_vat_loop())
        try:
            result.resolve(method(outcome, *args))
        except BaseException as error:  # noqa: BLE001 (nobody waits for it: it is reported as such)
            result.reject(error)

    def provide_table(self) -> DurableMap[str, Any]:
        """The watched promises; made if there is none."""
        table = self._table
        if table is None:
            table = self._table = self._vdata.provide_root(schema.WATCHED_PROMISES)
        return table


def watch_promise(promise: Promise[Any], watcher: object, *args: object) -> None:
    """Call a method of `watcher` when `promise` settles, in this incarnation of the vat or a later one.

    ``watcher.on_fulfilled(value, *args)`` or ``watcher.on_rejected(error, *args)``; one of them may be missing.

    Args:
        watcher: an instance of a `Durable` class.
        args: handed on; kept like a field's value.

    Raises:
        TypeError: `promise` is no promise, or `watcher` cannot be one.
        MarshalError: `args` cannot be kept.
    """
    if not isinstance(promise, Promise):
        raise TypeError(f"what is watched is a promise, not {type(promise).__name__}")
    running_vat_loop().watches.watch(promise, watcher, args)
