"""Realms of browsers outside of one: what is run for a vat of kind "pyodide".

Owns what the process may: it is Node with the realm that ``scripts/build_web.mjs`` has built, which may read the built
files and nothing else, evaluates no source text, and has an empty environment and limits of memory and files.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import kernel_py
from kernel_py.hosts.native.children import Program
from kernel_py.hosts.native.realm_limits import EXECUTE_LIMITS
from kernel_py.wire.errors import HostFault

BUILT = Path(kernel_py.__file__).parent.parent / "dist"
"""What the build of the web side has made."""

_PROGRAM = "node/realm.mjs"
_FILES = "extension"

_LAUNCH = """
import ctypes, os, resource, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
for name, most in (("DATA", int(sys.argv[2])), ("NOFILE", int(sys.argv[3])), ("FSIZE", 0), ("CORE", 0)):
    kind = getattr(resource, "RLIMIT_" + name)
    hard = resource.getrlimit(kind)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))
os.execve(sys.argv[4], sys.argv[4:], {})
"""
"""Becomes Node with these limits, which ends when the kernel does."""


def make_realm_program(built: Path = BUILT) -> Program:
    """The program of one realm.

    Raises:
        HostFault: Node is not there, or the realm is not built.
    """
    node = shutil.which("node")
    if node is None:
        raise HostFault("vats of kind pyodide run in Node, which is not on the PATH: install it")
    program, files = built / _PROGRAM, built / _FILES
    if not program.exists() or not files.exists():
        raise HostFault(f"vats of kind pyodide run what is built in {built}, which is not there: build it (make setup)")
    limits = [str(EXECUTE_LIMITS.memory_bytes_max), str(EXECUTE_LIMITS.files_max)]
    confinement = [
        "--no-warnings",
        "--disallow-code-generation-from-strings",
        "--experimental-permission",
        f"--allow-fs-read={program}",
        f"--allow-fs-read={files}/",
    ]
    launch = [sys.executable, "-s", "-S", "-P", "-X", "utf8", "-c", _LAUNCH, str(os.getpid()), *limits]
    return Program([*launch, node, *confinement, str(program), f"{files}/"], {}, folder="/")
