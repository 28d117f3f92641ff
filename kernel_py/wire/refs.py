"""References: the names by which kernel and vats speak of objects and promises.

Owns the grammar of vrefs and krefs. A reference is a string that was made by a
``make_*`` function or accepted by a ``parse_*`` function; nothing else makes one.

    vref  = ("o" | "p") ("+" | "-") N            "+" allocated by the vat, "-" by the kernel
          | "o+" ["d" | "v"] K "/" I [":" F]     d durable, v virtual; K kind, I instance, F facet
    kref  = "ko" N | "kp" N
    vat   = "v" N        cluster = "c" N

N is decimal without leading zeros. "o+0" is a vat's root object. The characters "|" and ","
never occur in a reference, so both may separate them.

Source: SwingSet ``parseVatSlots.js`` and ``parseKernelSlots.js``; devices are not supported.
"""

from __future__ import annotations

import re
from typing import NewType

Vref = NewType("Vref", str)
"""A reference in the c-list of one vat, such as ``o+3`` or ``p-61``."""

Kref = NewType("Kref", str)
"""A reference in the kernel, such as ``ko20`` or ``kp40``."""

VatId = NewType("VatId", str)
ClusterId = NewType("ClusterId", str)

ROOT_VREF = Vref("o+0")
DIGITS_MAX = 18

_NUMBER = rf"(?:0|[1-9][0-9]{{0,{DIGITS_MAX - 1}}})"
_VPID = re.compile(rf"p[+-]{_NUMBER}")
_VREF = re.compile(rf"[op][+-]{_NUMBER}|o\+[dv]?{_NUMBER}/{_NUMBER}(?::{_NUMBER})?")
_KREF = re.compile(rf"k[op]{_NUMBER}")
_VAT_ID = re.compile(rf"v{_NUMBER}")
_CLUSTER_ID = re.compile(rf"c{_NUMBER}")


class InvalidRef(ValueError):
    """The text is not a reference of the wanted kind."""


def parse_vref(text: object) -> Vref:
    """Return `text` as a vref, or raise InvalidRef."""
    if isinstance(text, str) and _VREF.fullmatch(text):
        return Vref(text)
    raise InvalidRef(f"not a vat reference: {text!r:.80}")


def find_vpid(text: object) -> Vref | None:
    """`text` as the vref of a promise, or None if it is none."""
    return Vref(text) if isinstance(text, str) and _VPID.fullmatch(text) else None


def parse_kref(text: object) -> Kref:
    """Return `text` as a kref, or raise InvalidRef."""
    if isinstance(text, str) and _KREF.fullmatch(text):
        return Kref(text)
    raise InvalidRef(f"not a kernel reference (ko1, kp1): {text!r:.80}")


def parse_vat_id(text: object) -> VatId:
    """Return `text` as a vat id, or raise InvalidRef."""
    if isinstance(text, str) and _VAT_ID.fullmatch(text):
        return VatId(text)
    raise InvalidRef(f"not a vat id (v1, v2, ...): {text!r:.80}")


def parse_cluster_id(text: object) -> ClusterId:
    """Return `text` as a cluster id, or raise InvalidRef."""
    if isinstance(text, str) and _CLUSTER_ID.fullmatch(text):
        return ClusterId(text)
    raise InvalidRef(f"not a cluster id (c1, c2, ...): {text!r:.80}")


def make_object_kref(number: int) -> Kref:
    return Kref(f"ko{number}")


def make_promise_kref(number: int) -> Kref:
    return Kref(f"kp{number}")


def make_vat_id(number: int) -> VatId:
    return VatId(f"v{number}")


def make_cluster_id(number: int) -> ClusterId:
    return ClusterId(f"c{number}")


def make_exported_object(number: int) -> Vref:
    return Vref(f"o+{number}")


def make_imported_object(number: int) -> Vref:
    return Vref(f"o-{number}")


def make_exported_promise(number: int) -> Vref:
    return Vref(f"p+{number}")


def make_imported_promise(number: int) -> Vref:
    return Vref(f"p-{number}")


def is_promise(ref: Vref | Kref) -> bool:
    """Whether the reference names a promise; otherwise it names an object."""
    return ref[0] == "p" or ref[:2] == "kp"


def is_vat_allocated(vref: Vref) -> bool:
    """Whether the vat, not the kernel, made this name: for an object, that the vat exports it."""
    return vref[1] == "+"


def base_ref(vref: Vref) -> Vref:
    """The vref without its facet: the unit of garbage collection."""
    return Vref(vref.split(":", 1)[0])
