"""The Python side of a realm: one vat session, called with texts and answering with texts.

Owns the session. JavaScript (``web/src/realm``) calls `prepare` and `cut_bridge` while the realm starts, or while its
memory image is made, and from then on only `receive`.
"""

from __future__ import annotations

import gc
import traceback

from kernel_py.hosts.browser.lockdown import BUILTINS_CUT, cut_bridge
from kernel_py.hosts.browser.store_file import open_store
from kernel_py.hosts.preloaded import preload
from kernel_py.vat.determinism import install_determinism
from kernel_py.vat.session import VatSession
from kernel_py.wire import canonical

__all__ = ["cut_bridge", "prepare", "receive"]

_memory_bytes = 0


def _get_memory_bytes() -> int:
    return _memory_bytes


_session = VatSession(make_store=open_store, ambient=install_determinism(), memory_bytes=_get_memory_bytes)


def prepare() -> str:
    """Import what vats are likely to import. Returns the built-in modules to be cut off, separated by spaces."""
    preload()
    gc.collect()
    return " ".join(BUILTINS_CUT)


def receive(text: str, memory_bytes: int) -> str:
    """Hand a text to the vat. Returns the answers, one a line: JSON escapes line breaks.

    What depends on connections does not come here: see ``web/src/realm/conversation.ts``.
    """
    global _memory_bytes  # noqa: PLW0603 (one realm, one vat)
    _memory_bytes = memory_bytes
    try:
        return "\n".join(_session.receive(text))
    except BaseException:  # noqa: BLE001 (the realm's outermost frame: nothing may pass)
        return canonical.dump(["failed", traceback.format_exc()])
