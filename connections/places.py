"""Where the processes of this service count together what they do with sources."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from children.places import folder


def shared_folder() -> Path:
    """Return PLACES_DIR, or a folder below /tmp that belongs to this service and this account.

    Raises OSError where there can be none, or for one that another account could change.
    """
    store = settings.DATABASES["default"]
    service = f"{settings.BASE_DIR} {store.get('HOST')} {store.get('NAME')}"
    name = hashlib.sha256(service.encode()).hexdigest()[:12]
    return folder(name, settings.PLACES_DIR)


def shared_folder_or_none() -> Path | None:
    """Return the shared folder; None where each process has to count for itself."""
    with suppress(OSError):
        return shared_folder()
    return None
