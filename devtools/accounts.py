"""The account a server runs as: PostgreSQL refuses to run as root."""

import os
import pwd
import shutil
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Account:
    """A system account without privileges."""

    uid: int
    gid: int

    def popen_options(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may_enter(self, folder: Path) -> bool:
        """Tell whether the account can pass through every folder down to this one."""
        return all(self._may_pass(place) for place in [*reversed(folder.parents), folder])

    def _may_pass(self, folder: Path) -> bool:
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)


def unprivileged(owned: Path | None = None) -> Account | None:
    """Return the account to run as instead of root, or None when we are not root.

    It is the owner of `owned` if that exists: data once written stay with their account.
    """
    if os.geteuid() != 0:
        return None
    if owned is not None and owned.exists() and owned.stat().st_uid != 0:
        return Account(owned.stat().st_uid, owned.stat().st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    return Account(65534, 65534)


def folder_for(account: Account | None, wanted: Path) -> Path:
    """Return a folder the account owns and can reach: `wanted`, or one that `wanted` links to.

    A checkout below root's home is closed to every other account; the data then live in
    /var/tmp, and the link is what says where.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    if wanted.is_symlink() and not wanted.exists():
        wanted.unlink()
    if not wanted.exists():
        if account and not account.may_enter(wanted.parent.resolve()):
            wanted.symlink_to(tempfile.mkdtemp(prefix="etl-engine-", dir="/var/tmp"))
        else:
            wanted.mkdir(mode=0o700)
        if account:
            os.chown(wanted, account.uid, account.gid)
    return wanted.resolve()


def remove_folder(folder: Path) -> None:
    """Remove a folder, and the one it links to."""
    shutil.rmtree(folder.resolve(), ignore_errors=True)
    if folder.is_symlink():
        folder.unlink()
