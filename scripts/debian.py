"""Debian's packages, where set-up may install them: as root, on a system with apt."""

from __future__ import annotations

import os
import shutil
import subprocess


def install_package(package: str) -> bool:
    """Install a Debian package, showing apt's output. False if that is not possible here."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return False
    print(f"installing Debian's package {package} ...", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", package]):
        if subprocess.run([apt, *arguments], env=environment, check=False).returncode != 0:
            return False
    return True
