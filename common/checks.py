"""System checks: each wrong setting has an id, and a hint that says how to mend it."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from common import crypto


@register("service")
def encryption_keys(**kwargs: Any) -> list[CheckMessage]:
    try:
        crypto.cipher()
    except ImproperlyConfigured as wrong:
        return [
            Error(
                str(wrong),
                hint="Put the key into the environment or `.env`, and keep a copy safe.",
                id="service.E001",
            )
        ]
    return []


@register("service")
def secret_key(**kwargs: Any) -> list[CheckMessage]:
    if settings.DEBUG or settings.SECRET_KEY != settings.INSECURE_SECRET_KEY:
        return []
    return [
        Error(
            "SECRET_KEY is not set, and DEBUG is off.",
            hint="Set SECRET_KEY to 50 or more random characters.",
            id="service.E002",
        )
    ]


@register("service")
def api_prefix(**kwargs: Any) -> list[CheckMessage]:
    taken = ("/", "/admin", "/health", "/docs", "/redoc", "/openapi.json", "/static")
    if settings.API_V1_PREFIX not in taken:
        return []
    return [
        Error(
            f'API_V1_PREFIX "{settings.API_V1_PREFIX}" hides another page of the service.',
            hint="Choose another prefix, such as /api/v1.",
            id="service.E003",
        )
    ]


@register("service")
def debug_is_off(**kwargs: Any) -> list[CheckMessage]:
    if not settings.DEBUG:
        return []
    return [
        Warning(
            "DEBUG is on.",
            hint="Only ever on your own machine: error pages of the admin show settings.",
            id="service.W001",
        )
    ]
