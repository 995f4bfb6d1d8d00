"""Where a folder of Delta tables may lie: below folders of the service, or in a bucket."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings

BUCKETS = ("s3", "gs", "az")
FORMS = "a path, file://, s3://, gs:// or az://"


def is_bucket(uri: str | None) -> bool:
    """Tell whether a URI leads to an object store."""
    return bool(uri) and urlsplit_scheme(str(uri)) in BUCKETS


def urlsplit_scheme(uri: str) -> str:
    return uri.partition("://")[0].lower() if "://" in uri else ""


def problem_of(uri: str) -> str | None:
    """Return why a folder cannot be at this URI; None where it can."""
    if any(ord(character) < 32 or ord(character) == 127 for character in uri):
        return "The address has control characters."
    if "?" in uri or "#" in uri:
        return "The address has a ? or #: leave them out, and give secrets as credentials."
    scheme = urlsplit_scheme(uri)
    if scheme in BUCKETS:
        return _problem_of_bucket(uri)
    if scheme == "file" or (not scheme and uri.startswith("/")):
        return _problem_of_path(uri)
    if scheme or ":" in uri.partition("/")[0]:
        return f"Expected {FORMS}."
    return "A path begins with a slash."


def _problem_of_bucket(uri: str) -> str | None:
    try:
        place = urlsplit(uri)
    except ValueError:
        return f"Expected {FORMS}."
    if "@" in place.netloc:
        return "The address names a user: give names and keys as credentials."
    if not place.netloc:
        return f"The address names no bucket, such as {place.scheme}://bucket/folder."
    if ".." in unquote(place.path).split("/"):
        return "The address has a `..`: say where it leads."
    return None


def _problem_of_path(uri: str) -> str | None:
    if uri.lower().startswith("file:") and not uri[len("file://") :].startswith("/"):
        return "A file:// address names no host: three slashes, then the path."
    place = resolved(uri)
    if place is not None and any(_is_in(place, root) for root in roots()):
        return None
    return "The folder lies neither below DATA_DIR nor below one of LAKE_DIRS."


def _is_in(place: Path, root: Path) -> bool:
    # What belongs to the service lies in DATA_DIR itself, so that no lake is there.
    return root in place.parents or (place == root and root != Path(settings.DATA_DIR).resolve())


def roots() -> list[Path]:
    """Return the folders below which lakes may lie, links resolved."""
    return [
        Path(root).resolve() for root in (str(settings.DATA_DIR), *map(str, settings.LAKE_DIRS))
    ]


def resolved(uri: str) -> Path | None:
    """Return the path of a `file://` address or path, links resolved; None where it has none."""
    path = unquote(uri[len("file://") :]) if uri.lower().startswith("file://") else uri
    if "\0" in path or "?" in path or "#" in path:
        return None
    try:
        return Path(path).resolve()
    except (OSError, RuntimeError):
        return None


def default_uri() -> str:
    """Return the folder of the target that is always there."""
    return str(Path(settings.DATA_DIR) / "lake")
