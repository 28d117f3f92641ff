"""The program ``kernel-py``, also as ``python -m kernel_py.hosts.native``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say how to get what it needs."""
    try:
        from kernel_py.hosts.native.command_line import program  # noqa: PLC0415 (needs packages that may be missing)
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"kernel-py needs the package {error.name}: pip install 'kernel_py[cli]'")
    program(prog_name="kernel-py")


if __name__ == "__main__":
    main()
