"""A vat that runs the unit tests of the vat side, with pytest, in the very realm that it lives in.

What a realm has no use for otherwise comes in an archive (`e2e/harness/suite.py`): pytest and what it needs, the tests,
and those parts of kernel_py that are not in a realm. What is tested is the kernel_py of the realm itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import os
import sys
import zipfile

from kernel_py.vat import Exo

ROOT = "/home/tester"


class Tester(Exo):
    def bootstrap(self, vats, services):
        pass

    def unpack(self, archive: str) -> int:
        """Take a zip archive, in base64. How many files it has."""
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive))) as archived:
            archived.extractall(ROOT)
            count = len(archived.namelist())
        os.chdir(ROOT)
        sys.path[:0] = [ROOT, f"{ROOT}/site-packages"]
        import kernel_py
        import kernel_py.hosts

        for package in (kernel_py, kernel_py.hosts):
            package.__path__.append(f"{ROOT}/{package.__name__.replace('.', '/')}")
        return count

    def run(self, arguments: list[str], *, lends_clock: bool) -> list:
        """Run pytest. Its exit code, and what it printed."""
        import pytest

        printed = io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(place_lent())
            if lends_clock:
                stack.enter_context(clock_lent())
            stack.enter_context(contextlib.redirect_stdout(printed))
            stack.enter_context(contextlib.redirect_stderr(printed))
            code = int(pytest.main(arguments))
        return [code, printed.getvalue()]


@contextlib.contextmanager
def place_lent():
    """No event loop seems to run: the vats of the tests run theirs. The collector is left as it was."""
    loop = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
        gc.freeze()  # as the realm had it; the tests undo it


@contextlib.contextmanager
def clock_lent():
    """The vats of the tests get the realm's own clock and entropy, which a realm has once."""
    from kernel_py.hosts.browser import realm
    from kernel_py.vat.session import VatSession
    from tests.vat import driving

    ambient = realm._session._ambient
    before = dict(vars(ambient))
    driving.VatSession = lambda **options: VatSession(ambient=ambient, **options)
    try:
        yield
    finally:
        driving.VatSession = VatSession
        vars(ambient).update(before)


def build_root_object(powers, parameters, baggage):
    return Tester()
