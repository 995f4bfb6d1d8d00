"""Make the keys and passwords of `compose.yaml`, as files in a folder of their owner alone.

What is there already stays: `python -m devtools.keyfiles [FOLDER]`.
"""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.fernet import Fernet

MADE: dict[str, Callable[[], str]] = {
    "encryption_key": lambda: Fernet.generate_key().decode(),
    "secret_key": lambda: secrets.token_urlsafe(50),
    "audit_key": lambda: secrets.token_urlsafe(50),
    "mongodb_keyfile": lambda: base64.b64encode(secrets.token_bytes(512)).decode(),
    "mongodb_root_password": lambda: secrets.token_urlsafe(30),
    "mongodb_password": lambda: secrets.token_urlsafe(30),
}


def make(folder: Path, database: str = "etl_engine") -> list[str]:
    """Make what is missing in a folder; return the names of the files made."""
    folder.mkdir(mode=0o700, exist_ok=True)
    made = [name for name, value in MADE.items() if _write(folder / name, value)]
    password = (folder / "mongodb_password").read_text()
    url = f"mongodb://etl:{password}@mongodb:27017/{database}?replicaSet=rs0&authSource={database}"
    return [*made, *(["mongodb_url"] if _write(folder / "mongodb_url", lambda: url) else [])]


def _write(file: Path, value: Callable[[], str]) -> bool:
    if file.exists():
        return False
    # The folder keeps others out; the account in the container is another one.
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(descriptor, "w") as out:
        out.write(value())
    return True


if __name__ == "__main__":
    where = Path(sys.argv[1] if len(sys.argv) > 1 else "secrets")
    found = make(where, os.environ.get("MONGODB_DB_NAME", "etl_engine"))
    print(f"Made in {where}: {', '.join(found) or 'nothing, all of it is there'}.")
