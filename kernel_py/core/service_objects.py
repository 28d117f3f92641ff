"""Service objects: what a cluster is granted of the kernel's services, and the calls of them.

Owns the tables of service objects and of calls that a host's service has yet to answer.

A message to a service's object is carried out at the end of the crank that sent it, in the same transaction. A local
service answers it there and then, or later by itself. A call of a host's service becomes a row of ``calls``, and
leaves the kernel once that row is durable. So a call that a new kernel finds in the table may have had its effect or
not: it is rejected as interrupted, or, if its service is idempotent, made again.

Invariants:
    * Whatever a vat sends, it is answered: nothing but a bug of ours is raised here.
    * A row of ``calls`` holds what its message mentions, and counts in its object's `pending`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kernel_py.core import kmarshal, schema
from kernel_py.core.cluster_config import ServiceConfig
from kernel_py.core.interceptors import Part
from kernel_py.core.kmarshal import Ref
from kernel_py.core.outputs import Invoke
from kernel_py.core.promises import Promises
from kernel_py.core.queues import message_mentions
from kernel_py.core.schema import GRANT, QueuedMessage, ServiceObject
from kernel_py.core.services.service import LATER, HostService, LocalCall, LocalService
from kernel_py.core.services.timers import ENDED, TimerService
from kernel_py.core.services.vat_admin import ADMIN, VatAdminService
from kernel_py.core.shared import Shared
from kernel_py.wire.capdata import CapData
from kernel_py.wire.errors import KernelBug, MarshalError

CarryOut = Callable[[list[Any], dict[str, Any]], object]


class ServiceObjects:
    """Grants and calls over one state."""

    def __init__(
        self,
        shared: Shared,
        promises: Promises,
        vat_admin: VatAdminService,
        *,
        local: Sequence[LocalService],
        hosted: Sequence[HostService],
    ) -> None:
        self._state = shared.state
        self._references = shared.references
        self._outbox = shared.log.outbox
        self._limits = shared.limits
        self._promises = promises
        self.timers = TimerService(shared, promises)
        self._vat_admin = vat_admin
        self._interceptors = shared.interceptors
        self._meter = shared.meter
        every: list[LocalService] = [self.timers, *local, vat_admin]
        self._local = {service.name: service for service in every}
        self._hosted = {service.name: service for service in hosted}
        self._references.on_service_object_gone = self._let_go

    @property
    def config_schemas(self) -> Mapping[str, dict[str, Any]]:
        """What a cluster file may ask for, by service."""
        local = {name: service.config_schema for name, service in self._local.items()}
        return local | {name: service.config_schema for name, service in self._hosted.items()}

    # --- grants ---------------------------------------------------------------------------------

    def grant(self, cluster: str, configs: Sequence[ServiceConfig]) -> None:
        """Make the objects that a cluster file asks for. They are held until `end`."""
        for config in configs:
            kref = self._references.create_object(schema.service_owner(config.name), config.name)
            self._references.take_hold(kref)
            record = ServiceObject(config.name, GRANT, cluster, 0, config.config)
            self._state.set(schema.SERVICES, kref, record)

    def find_grants(self, cluster: str) -> dict[str, Ref]:
        """A cluster's service objects by the names of their services."""
        grants = {kref: self._get(kref) for kref in self._of(cluster)}
        return {row.service: Ref(kref, f"Alleged: {row.service}") for kref, row in grants.items() if row.kind == GRANT}

    def end(self, cluster: str) -> None:
        """Revoke all that a cluster has of services: what they owe is rejected, what is sent to them too."""
        for kref in self._of(cluster):
            record = self._get(kref)
            self.stop(kref)
            self._references.orphan(kref)
            self._state.delete(schema.SERVICES, kref)
            if record.kind == GRANT:
                self._references.drop_hold(kref)

    def stop(self, kref: str) -> None:
        """End what was begun through an object, if it is a service's: timers go, and what is owed is rejected."""
        self.timers.end(kref)
        for call in self._state.rows(schema.CALLS):
            if self._state.get(schema.CALLS, call).target == kref:
                self._finish(call, ENDED, is_reject=True)

    def _let_go(self, kref: str) -> None:
        """Nobody can name an object any more."""
        record = self._get(kref)
        self._state.delete(schema.SERVICES, kref)
        if record.kind == ADMIN:
            self._vat_admin.let_go(record.data)

    def _of(self, cluster: str) -> list[str]:
        return [kref for kref in self._state.rows(schema.SERVICES) if self._get(kref).cluster == cluster]

    def _get(self, kref: str) -> ServiceObject:
        record = self._state.get(schema.SERVICES, kref)
        if record is None:
            raise KernelBug(f"no service object {kref}")
        assert isinstance(record, ServiceObject)
        return record

    # --- calls ----------------------------------------------------------------------------------

    def handle(self, message: QueuedMessage) -> None:
        """Carry out a message to a service's object, and release what it holds."""
        data: CapData | None = None
        is_reject = False
        try:
            value = self._carry_out(message)
            if value is not LATER:
                data = kmarshal.serialize(value)
        except KernelBug:
            raise
        except Exception as error:  # noqa: BLE001 (what vats send must not raise; the caller gets it)
            data, is_reject = _serialize_error(error), True
        if data is not None and message.result is not None:
            self._promises.settle(message.result, data, is_reject=is_reject)
        self._release(message)

    def _carry_out(self, message: QueuedMessage) -> object:
        record = self._state.get(schema.SERVICES, message.target)
        if record is None:
            raise RuntimeError("the service was revoked, or its cluster has ended")  # with this very batch
        method, args, kwargs = kmarshal.unserialize_call(CapData(message.body, message.slots))
        hosted = self._hosted.get(record.service)
        if hosted is not None:
            _check_method(record.service, method, hosted.methods)
            hosted.check(method, args, kwargs, record.data)
            self._charge(hosted.gas(method, args, kwargs))
            return self._pass(record, method, self._invoke(message, record, method), args, kwargs)
        local = self._local.get(record.service)
        if local is None:
            raise RuntimeError(f"this kernel has no service {record.service!r}")
        methods = local.methods[record.kind]
        _check_method(record.service if record.kind == GRANT else record.kind, method, methods)
        carry_out = methods[method]
        call = LocalCall(message.target, record, message.result)
        return self._pass(record, method, lambda args, kwargs: carry_out(call, *args, **kwargs), args, kwargs)

    def _pass(
        self, record: ServiceObject, method: str, carry_out: CarryOut, args: list[Any], kwargs: dict[str, Any]
    ) -> object:
        """Carry a call out, or let what stands before the service do it."""
        return self._interceptors.call(Part.SERVICES, f"{record.service}.{method}", carry_out, args, kwargs)

    def _invoke(self, message: QueuedMessage, record: ServiceObject, method: str) -> CarryOut:
        def ask_host(args: list[Any], kwargs: dict[str, Any]) -> object:
            call = self._add_call(message, record)
            self._outbox.invokes.append(Invoke(call, record.service, method, args, kwargs, record.data))
            return LATER

        return ask_host

    def _charge(self, gas: int) -> None:
        """Clients pay nothing."""
        if gas and self._interceptors.vat:
            self._meter.charge(self._interceptors.vat, gas)

    def _release(self, message: QueuedMessage) -> None:
        for kref in message_mentions(message):
            self._references.drop_hold(kref)

    # --- calls of the host's services -----------------------------------------------------------

    def _add_call(self, message: QueuedMessage, record: ServiceObject) -> str:
        if record.pending >= self._limits.service_pending_max:
            raise RuntimeError(f"{record.pending:,} calls are waiting, which is the limit")
        self._state.set(schema.SERVICES, message.target, record._replace(pending=record.pending + 1))
        call = str(self._state.next_number(schema.NEXT_CALL))
        self._state.set(schema.CALLS, call, message)
        for kref in message_mentions(message):
            self._references.take_hold(kref)
        return call

    def answered(self, call: str, value: object) -> None:
        """A host's service has carried out a call. Ignored if its cluster has ended."""
        message = self._state.get(schema.CALLS, call)
        if message is None:
            return
        try:
            data = kmarshal.serialize(value, "answer")
            if not all(slot in message.slots and slot[1] == "o" for slot in data.slots):
                raise MarshalError("a service may answer only with objects that it was called with")
        except MarshalError as error:
            self._finish(call, _serialize_error(error), is_reject=True)
        else:
            self._finish(call, data, is_reject=False)

    def failed(self, call: str, error: Exception) -> None:
        """A host's service could not carry out a call. Ignored if its cluster has ended."""
        if self._state.get(schema.CALLS, call) is not None:
            self._finish(call, _serialize_error(error), is_reject=True)

    def _finish(self, call: str, data: CapData, *, is_reject: bool) -> None:
        message: QueuedMessage = self._state.get(schema.CALLS, call)
        record = self._get(message.target)
        self._state.set(schema.SERVICES, message.target, record._replace(pending=record.pending - 1))
        self._state.delete(schema.CALLS, call)
        if message.result is not None:
            self._promises.settle(message.result, data, is_reject=is_reject)
        self._release(message)

    def interrupted(self) -> list[str]:
        """Calls of the table which must not be made again, since they may have been carried out.

        Of the others, whose services are idempotent, each is made again. For a new kernel, once.
        """
        interrupted: list[str] = []
        for call in sorted(self._state.rows(schema.CALLS), key=int):
            message: QueuedMessage = self._state.get(schema.CALLS, call)
            record = self._get(message.target)
            hosted = self._hosted.get(record.service)
            if hosted is None or not hosted.is_idempotent:
                interrupted.append(call)
                continue
            method, args, kwargs = kmarshal.unserialize_call(CapData(message.body, message.slots))
            self._outbox.invokes.append(Invoke(call, record.service, method, args, kwargs, record.data))
        return interrupted

    def interrupt(self, call: str) -> None:
        """Reject a call that may or may not have been carried out."""
        self._finish(call, INTERRUPTED, is_reject=True)


INTERRUPTED = kmarshal.serialize_error("interrupted: the call may have been carried out, or not", "InterruptedError")


def _check_method(name: str, method: str, methods: Sequence[str] | Mapping[str, object]) -> None:
    if method not in methods:
        raise AttributeError(f"{name} has no method {method!r:.100}; it has {', '.join(methods)}")


def _serialize_error(error: Exception) -> CapData:
    if isinstance(error, MarshalError):
        return kmarshal.serialize_error(str(error), "TypeError")
    return kmarshal.serialize_exception(error)
