"""The `.env` file: made once with fresh keys, then only read."""

import os
import re
import secrets
from pathlib import Path

import environ
from cryptography.fernet import Fernet

from devtools.processes import write_private


def ensure(path: Path, example: Path) -> bool:
    """Write `.env` from the example with fresh keys, unless it is there. Tell whether it was not.

    Only its owner may read it.
    """
    if path.exists():
        return False
    fresh = {
        "ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "SECRET_KEY": secrets.token_urlsafe(50),
    }
    text = example.read_text()
    for name, value in fresh.items():
        text = re.sub(rf"^{name}=$", f"{name}={value}", text, flags=re.MULTILINE)
    write_private(path, text)
    return True


def load(path: Path) -> None:
    """Put the file's values into our environment, where they do not replace what is there."""
    environ.Env.read_env(path)
    for name in ("MONGODB_URL", "PORT"):
        if not os.environ.get(name, "").strip():
            os.environ.pop(name, None)
