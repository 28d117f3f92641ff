r"""Deliveries: what the kernel asks of a vat.

| JSON                                                | class           |
|-----------------------------------------------------|-----------------|
| ``["message", target, {methargs, result}]``         | `DeliverMessage`|
| ``["notify", [[vpid, is_reject, capdata], ...]]``   | `Notify`        |
| ``["dropExports" \| "retireExports" \| "retireImports", [vref, ...]]`` | `RefDelivery` |
| ``["bringOutYourDead"]``                            | `BringOutYourDead` |
| ``["startVat", capdata]``                           | `StartVat`      |
| ``["stopVat", capdata]``                            | `StopVat`       |
| ``["changeVatOptions", {...}]``                     | `ChangeVatOptions` |

The kernel makes deliveries and trusts itself; `parse_delivery` serves the vat's side and replay.

Source: SwingSet ``VatDeliveryObject``; the reference, 1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from kernel_py.wire.capdata import CapData, Message, parse_capdata, parse_message
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.refs import Vref, parse_vref
from kernel_py.wire.syscalls import Resolution, parse_resolution


class DeliverMessage(NamedTuple):
    target: Vref
    message: Message

    def to_json(self) -> list[Any]:
        return ["message", self.target, self.message.to_json()]


class Notify(NamedTuple):
    resolutions: tuple[Resolution, ...]

    def to_json(self) -> list[Any]:
        return ["notify", [resolution.to_json() for resolution in self.resolutions]]


class RefDeliveryOp(StrEnum):
    DROP_EXPORTS = "dropExports"
    RETIRE_EXPORTS = "retireExports"
    RETIRE_IMPORTS = "retireImports"


@dataclass(frozen=True, slots=True)
class RefDelivery:
    op: RefDeliveryOp
    vrefs: tuple[Vref, ...]

    def to_json(self) -> list[Any]:
        return [self.op.value, list(self.vrefs)]


@dataclass(frozen=True, slots=True)
class BringOutYourDead:
    def to_json(self) -> list[Any]:
        return ["bringOutYourDead"]


@dataclass(frozen=True, slots=True)
class StartVat:
    parameters: CapData

    def to_json(self) -> list[Any]:
        return ["startVat", self.parameters.to_json()]


@dataclass(frozen=True, slots=True)
class StopVat:
    info: CapData

    def to_json(self) -> list[Any]:
        return ["stopVat", self.info.to_json()]


@dataclass(frozen=True, slots=True)
class ChangeVatOptions:
    options: dict[str, Any]

    def to_json(self) -> list[Any]:
        return ["changeVatOptions", self.options]


Delivery = DeliverMessage | Notify | RefDelivery | BringOutYourDead | StartVat | StopVat | ChangeVatOptions

_REF_OPS = frozenset(op.value for op in RefDeliveryOp)


def parse_delivery(value: object) -> Delivery:
    """Parse one delivery's JSON form.

    Raises:
        MarshalError: it is none of the forms above.
    """
    try:
        match value:
            case ["message", target, message]:
                return DeliverMessage(parse_vref(target), parse_message(message))
            case ["notify", [*resolutions]]:
                return Notify(tuple(map(parse_resolution, resolutions)))
            case [str(op), [*vrefs]] if op in _REF_OPS:
                return RefDelivery(RefDeliveryOp(op), tuple(map(parse_vref, vrefs)))
            case ["bringOutYourDead"]:
                return BringOutYourDead()
            case ["startVat", parameters]:
                return StartVat(parse_capdata(parameters))
            case ["stopVat", info]:
                return StopVat(parse_capdata(info))
            case ["changeVatOptions", dict(options)]:
                return ChangeVatOptions(options)
            case _:
                pass
    except Exception as error:
        raise MarshalError(f"malformed delivery: {error}") from error
    raise MarshalError(f"unknown delivery: {value!r:.200}")
