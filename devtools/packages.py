"""System packages: installed when that is allowed, otherwise named in one line."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from devtools.console import LauncherError, say

# Server programs live here on Debian, outside a plain user's PATH.
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])


@dataclass(frozen=True)
class Need:
    """A program, and Debian's package that has it."""

    program: str
    package: str
    otherwise: str = ""  # the way out for someone who cannot install it


def find_program(name: str) -> str | None:
    return shutil.which(name, path=SYSTEM_PATH)


def ensure_programs(needs: Iterable[Need]) -> None:
    """Install the packages of the programs that are missing.

    Raises LauncherError.
    """
    missing = [need for need in needs if find_program(need.program) is None]
    if not missing:
        return
    advice = " ".join(dict.fromkeys(need.otherwise for need in missing if need.otherwise))
    install_packages(dict.fromkeys(need.package for need in missing), advice)
    lost = [need.program for need in missing if find_program(need.program) is None]
    if lost:
        raise LauncherError(f"Installed the packages, yet {', '.join(lost)} is not on PATH.")


def install_packages(packages: Iterable[str], advice: str = "") -> None:
    """Install Debian packages as root or through passwordless sudo.

    Raises LauncherError.
    """
    names = list(packages)
    prefix = _privilege()
    if prefix is None or shutil.which("apt-get") is None:
        command = f"apt-get install --no-install-recommends {' '.join(names)}"
        raise LauncherError(f"Missing system packages. As root: `{command}`. {advice}".rstrip())
    say(f"Installing system packages: {' '.join(names)}")
    _apt(prefix, "update")
    _apt(prefix, "install", "-y", "--no-install-recommends", *names)


def _privilege() -> list[str] | None:
    """Return what to put before a command to run it as root, or None where that is not allowed."""
    if os.geteuid() == 0:
        return []
    if shutil.which("sudo") and _succeeds(["sudo", "-n", "true"]):
        return ["sudo", "-n"]
    return None


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _apt(prefix: list[str], *args: str) -> None:
    # Someone else may hold apt's lock for a while: a fresh machine updates itself.
    command = [
        *prefix, "env", "DEBIAN_FRONTEND=noninteractive",
        "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *args,
    ]  # fmt: skip
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines() or ["no output"]
        raise LauncherError(f"apt-get {' '.join(args)} failed: {lines[-1]}")
