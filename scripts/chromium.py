"""Find a Chromium that can load an unpacked extension; run as a program, get one if there is none.

In this order: $CHROMIUM, an installed chromium or google-chrome, Debian's package (as root),
Playwright's own download.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

from scripts.debian import install_package

_INSTALLED = ("chromium", "google-chrome", "google-chrome-stable")

_HOW_TO = """no Chromium found. Any of these will do:
  apt-get install chromium                        (as root; Debian)
  .venv/bin/playwright install chromium           (a private copy)
  CHROMIUM=/path/to/chromium make ...             (one that you have)"""

# Google's own builds ignore --load-extension from this version on; Chromium does not.
_GOOGLE_CHROME_END = 137


class NoChromiumError(RuntimeError):
    """There is no Chromium here; the message says how to get one."""


def find_chromium() -> str:
    """The path of a Chromium that is here already.

    Raises:
        NoChromiumError: none is, or $CHROMIUM names no program.
    """
    named = os.environ.get("CHROMIUM")
    if named:
        path = shutil.which(named)
        if path is None:
            raise NoChromiumError(f"$CHROMIUM is {named!r}, which is not a program")
        return path
    path = _find_installed() or _find_playwright()
    if path is None:
        raise NoChromiumError(_HOW_TO)
    return path


def _find_installed() -> str | None:
    for name in _INSTALLED:
        path = shutil.which(name)
        if path is not None and _loads_extensions(path):
            return path
    return None


def _loads_extensions(path: str) -> bool:
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"Google Chrome (\d+)", version)
    return found is None or int(found[1]) < _GOOGLE_CHROME_END


def _find_playwright() -> str | None:
    # In a process of its own: Playwright's synchronous interface cannot be started twice in one.
    code = "from playwright.sync_api import sync_playwright as s\nwith s() as p: print(p.chromium.executable_path)"
    path = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    return path if os.access(path, os.X_OK) else None


def _install_debian() -> None:
    install_package("chromium")


def _install_playwright() -> None:
    print("downloading Playwright's Chromium ...", flush=True)
    dependencies = ["--with-deps"] if os.geteuid() == 0 else []
    subprocess.run([sys.executable, "-m", "playwright", "install", *dependencies, "chromium"], check=False)


def provide_chromium() -> str:
    """The path of a Chromium, installed first if need be.

    Raises:
        NoChromiumError: none could be had, or $CHROMIUM names no program.
    """
    for install in (_install_debian, _install_playwright):
        try:
            return find_chromium()
        except NoChromiumError:
            if os.environ.get("CHROMIUM"):
                raise
            install()
    return find_chromium()


if __name__ == "__main__":
    try:
        print(f"Chromium: {provide_chromium()}")
    except NoChromiumError as error:
        sys.exit(str(error))
