"""The vat side: supervisor, liveslots, vat store and event loop.

What a vat's code imports:

    from kernel_py.vat import E, Exo, M, Nat, Promise, facet, far, make_promise, make_revocable
    from kernel_py.vat import Durable, DurableMap, Facet, field, watch_promise
"""

from kernel_py.vat.annotations import make_guard
from kernel_py.vat.collections import (
    DurableMap,
    DurableSet,
    DurableWeakMap,
    DurableWeakSet,
    VirtualMap,
    VirtualSet,
    VirtualWeakMap,
    VirtualWeakSet,
)
from kernel_py.vat.durable import Durable, Facet, Virtual, facet, field
from kernel_py.vat.eventual import E
from kernel_py.vat.exo import Exo, far
from kernel_py.vat.forwarders import make_revocable
from kernel_py.vat.guards import Guard
from kernel_py.vat.patterns import M, Nat
from kernel_py.vat.presence import Presence
from kernel_py.vat.promise import Promise, Resolver, VatUpgraded, make_promise
from kernel_py.vat.watching import watch_promise
from kernel_py.wire.errors import MarshalError
from kernel_py.wire.passable import RemoteError, Symbol, Tagged, Undefined

__all__ = [
    "Durable",
    "DurableMap",
    "DurableSet",
    "DurableWeakMap",
    "DurableWeakSet",
    "E",
    "Exo",
    "Facet",
    "Guard",
    "M",
    "MarshalError",
    "Nat",
    "Presence",
    "Promise",
    "RemoteError",
    "Resolver",
    "Symbol",
    "Tagged",
    "Undefined",
    "VatUpgraded",
    "Virtual",
    "VirtualMap",
    "VirtualSet",
    "VirtualWeakMap",
    "VirtualWeakSet",
    "facet",
    "far",
    "field",
    "make_guard",
    "make_promise",
    "make_revocable",
    "watch_promise",
]
