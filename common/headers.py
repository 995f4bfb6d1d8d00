"""What every answer tells browsers: where a page may load from, and what they may keep."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase

DATA = "default-src 'none'; frame-ancestors 'none'"
PAGE = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
# The look of the admin makes functions of texts (Alpine), and only there that is allowed.
ADMIN = f"{PAGE}; script-src 'self' 'unsafe-eval'"
"""No inline script anywhere: what somebody smuggles into a page does not run."""


def guard(request: HttpRequest, response: HttpResponseBase) -> None:
    """Add the headers; records and what is told of them are kept nowhere."""
    headers = response.headers
    if "Content-Security-Policy" not in headers:
        headers["Content-Security-Policy"] = _policy(request.path, headers.get("Content-Type"))
    if request.path.startswith(settings.API_V1_PREFIX) and "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"


def _policy(path: str, content_type: str | None) -> str:
    if content_type is None or not content_type.startswith("text/html"):
        return DATA
    return ADMIN if path.startswith("/admin") else PAGE
