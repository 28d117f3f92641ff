"""Smallcaps: passable values as capdata, and back.

Byte-exact with ``@endo/marshal`` 1.10 (``serializeBodyFormat: 'smallcaps'``) in both directions.
A body is ``#`` and JSON in which values that JSON lacks are strings with a special first character:

| passable                         | in the body                                               |
|----------------------------------|-----------------------------------------------------------|
| null, true, false                | as in JSON                                                |
| number                           | JSON number as ECMAScript writes it; -0 as ``0``          |
| undefined, NaN, infinities       | ``"#undefined"`` ``"#NaN"`` ``"#Infinity"`` ``"#-Infinity"`` |
| bigint                           | ``"+7"`` ``"-7"`` ``"+0"``                                |
| string                           | itself, behind ``!`` if it begins with one of ``!"#$%&'()*+,-`` |
| symbol                           | ``"%foo"`` ``"%@@asyncIterator"``                         |
| byteArray                        | ``"*00ff"``, lowercase hexadecimal                        |
| array                            | array                                                     |
| record                           | object; keys escaped as strings are, in canonical order   |
| tagged                           | ``{"#tag":tag,"payload":...}``                            |
| remotable                        | ``"$0.Alleged: Counter"``, mentioned again ``"$0"``       |
| promise                          | ``"&1"``                                                  |
| error                            | ``{"#error":message,"errorId":id,"name":name}``, the id if there is one |

Invariants:
* Equal values have equal bodies.
* Records are walked in the order of their keys' UTF-16 code units. They are written in the order in
  which JavaScript enumerates the result: keys that are array indices first, by number.
* Slots, and ids of errors, are numbered in the order of the walk; a slot occurs once. So the mention
  of a remotable that has its interface need not be the first in the text: ``{"2":"$0","10":"$0.Alleged: X"}``.
* A body is always well-formed Unicode: lone surrogates are escaped, as JSON.stringify does. A str
  that spells a character beyond U+FFFF as two surrogates is the same text as that character.

Decoding accepts JSON that is not in canonical form (spaces, another order of keys, a needless ``!``) and
extra properties of errors; in all else it is as strict as the table.

Source: the reference, section 5; ``encodeToSmallcaps.js``. For byteArray, which 1.10 leaves out, the proposal
endojs/endo#3226.
"""

from __future__ import annotations

from kernel_py.wire.capdata import CapData
from kernel_py.wire.culprit import Culprit
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.limits import DEFAULT_LIMITS, Limits
from kernel_py.wire.passable import RemoteError
from kernel_py.wire.smallcaps_decoder import Decoder, SlotToValue, parse_body
from kernel_py.wire.smallcaps_encoder import Encoder, ErrorId, ValueToSlot

_STACK_TOO_SMALL = "it is nested too deeply for what its caller has left of the stack"


def keep_error_id(error: BaseException) -> str | None:
    """The default `error_id`: a remote error keeps the id it came with; others have none."""
    return error.error_id if isinstance(error, RemoteError) else None


class Marshal:
    """Turns passables into capdata and back.

    Args:
        value_to_slot: called at each mention of a value that is not passed by copy. Returns
            ``(slot, iface)`` for a remotable, with its interface such as ``Alleged: Counter``, or ``""``
            if that is not known; ``(slot, None)`` for a promise; None if the value is neither.
        slot_to_value: called as ``slot_to_value(slot, iface, is_promise)``, once for each slot that the
            body mentions, in the order of the walk. `iface` is None if the body gives none.
        error_id: the id to write into an error, or None.
        limits: bounds on depth, size and slots, and on the text of errors.

    What the callbacks raise passes through. They may have been called for part of a value that turns out
    not to be passable.
    """

    __slots__ = ("_error_id", "_limits", "_slot_to_value", "_value_to_slot")

    def __init__(
        self,
        *,
        value_to_slot: ValueToSlot,
        slot_to_value: SlotToValue,
        error_id: ErrorId = keep_error_id,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._value_to_slot = value_to_slot
        self._slot_to_value = slot_to_value
        self._error_id = error_id
        self._limits = limits

    def serialize(self, value: object, path: str = "") -> CapData:
        """Encode a passable value.

        Args:
            value: what to pass.
            path: what to call `value` in messages: "args" gives ``args[0]['owner']``.

        Raises:
            MarshalError: something in it is not passable, or exceeds a limit; its `path` leads there.
        """
        encoder = Encoder(self._value_to_slot, self._error_id, self._limits)
        try:
            body = "#" + encoder.encode(value)
        except Culprit as culprit:
            raise culprit.as_marshal_error(path) from None
        except RecursionError:
            raise MarshalError(_STACK_TOO_SMALL, path) from None
        if not body.isascii():
            body = _escape_surrogates(body)
        if len(body) > self._limits.body_chars_max:
            raise MarshalError(
                f"it takes more than {self._limits.body_chars_max:,} characters; pass it in pieces", path
            )
        return CapData(body, tuple(encoder.slots))

    def unserialize(self, data: CapData) -> object:
        """Decode capdata.

        Raises:
            MarshalError: it is not well-formed smallcaps, or exceeds a limit.
        """
        encoding = parse_body(data, self._limits)
        try:
            return Decoder(data.slots, self._slot_to_value, self._limits).decode(encoding)
        except Culprit as culprit:
            raise culprit.as_marshal_error("") from None
        except RecursionError:
            raise MarshalError(_STACK_TOO_SMALL) from None


def _escape_surrogates(body: str) -> str:
    """`body` with pairs of surrogates joined, and lone ones, which stand inside strings, escaped."""
    try:
        body.encode()
    except UnicodeEncodeError:
        joined = body.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        return joined.encode("utf-8", "backslashreplace").decode()
    return body
