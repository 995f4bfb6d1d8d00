"""Where the processes of this service count together what they do with sources."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from django.conf import settings

from children.places import folder


def shared_folder() -> Path:
    """Return PLACES_DIR, or a folder below /tmp that belongs to this service and this account.

    Raises OSError for a folder that another account could change.
    """
    store = settings.DATABASES["default"]
    service = f"{settings.BASE_DIR} {store.get('HOST')} {store.get('NAME')}"
    name = hashlib.sha256(service.encode()).hexdigest()[:12]
    return folder(name, os.environ.get("PLACES_DIR", ""))
