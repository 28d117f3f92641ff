"""The error tree, by who is at fault.

    KernelError
      KernelBug            ours: an invariant does not hold; the crank is dropped and the kernel stops
      StoreError           the host's: storage failed, is of another version, or is corrupt
      HostFault            the host's: a worker died or could not start
      RequestError         the client's: a control request that cannot be carried out
      InvalidModule        the author's: a WebAssembly module that is malformed, or cannot be made deterministic
      VatFault             the vat's: the crank is dropped and the vat terminated
        IllegalSyscall       a syscall that is malformed or names what the vat does not hold
        DeliveryFault        the vat reported that it could not carry out a delivery at all
      MarshalError         the caller's: a value that is not passable, or text that is not capdata

Promise rejections are data, not errors. Every message says what, where, and what to do.
"""

from __future__ import annotations


class KernelError(Exception):
    """Root of this package's own errors."""


class KernelBug(KernelError):
    """An invariant of the kernel does not hold. Nothing of the crank was kept."""


class StoreError(KernelError):
    """The store cannot be read or written, or does not fit this version."""


class HostFault(KernelError):
    """A worker died, could not start, or was cut off by its host; the vat is not to blame."""


class RequestError(KernelError):
    """A control request is invalid or cannot be carried out.

    Attributes:
        path: where in the request's parameters the fault lies, such as ``config.vats.alice``; or "".
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class InvalidModule(KernelError):
    """A WebAssembly module is malformed, over a limit, or uses what cannot be made deterministic.

    Attributes:
        function: index of the function in which the fault lies, imports counted, or None.
        offset: of the fault in the module's bytes, or None.
    """

    def __init__(self, message: str, *, function: int | None = None, offset: int | None = None) -> None:
        place = [] if function is None else [f"function {function}"]
        place += [] if offset is None else [f"offset {offset:#x}"]
        super().__init__(f"{', '.join(place)}: {message}" if place else message)
        self.function = function
        self.offset = offset


class VatFault(KernelError):
    """A vat broke the rules; it is terminated and its batch dropped."""


class IllegalSyscall(VatFault):
    """A syscall is malformed, over a limit, or names a reference that the vat may not use."""


class DeliveryFault(VatFault):
    """The vat reported that it could not carry out a delivery."""


class MarshalError(KernelError, TypeError):
    """A value is not passable, or text is not valid capdata.

    Attributes:
        path: where in the value the culprit lies, such as ``args[0]['owner']``; or "".
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


def cut_middle(text: str, chars_max: int) -> str:
    """`text`, with its middle left out if it is longer than `chars_max`."""
    if len(text) <= chars_max:
        return text
    half = max(0, (chars_max - 40) // 2)
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:] if half else ''}"
