"""System checks of how the service is served; those of all else are in `common/checks.py`."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register, run_checks
from django.core.exceptions import ImproperlyConfigured

from common.metrics_address import address

BOUNDS = {"PORT": (1, 65_535), "WEB_CONCURRENCY": (1, 512), "WEB_THREADS": (1, 1_000)}


def refuse_wrong_settings() -> None:
    """Raise ImproperlyConfigured, which names all of them, where settings cannot work."""
    if problems := [found for found in run_checks(tags=["service"]) if found.is_serious()]:
        raise ImproperlyConfigured(
            "\n".join(f"{found.id}: {found.msg} {found.hint}" for found in problems)
        )


@register("service")
def server(**kwargs: Any) -> Iterator[CheckMessage]:
    for name, (least, most) in BOUNDS.items():
        if not least <= getattr(settings, name) <= most:
            yield Error(
                f"{name} is {getattr(settings, name)}; expected {least} to {most:,}.",
                hint="Leave it out for the default.",
                id="service.E030",
            )


@register("service")
def metrics_listen(**kwargs: Any) -> list[CheckMessage]:
    try:
        if settings.METRICS_LISTEN:
            address(settings.METRICS_LISTEN)
    except ValueError:
        return [
            Error(
                f'METRICS_LISTEN "{settings.METRICS_LISTEN}" is no address.',
                hint="Give a host and a port, such as 127.0.0.1:9100.",
                id="service.E032",
            )
        ]
    return []


@register("service")
def trusted_proxies(**kwargs: Any) -> list[CheckMessage]:
    if settings.TRUSTED_PROXIES or not settings.BEHIND_TLS_PROXY:
        return []
    return [
        Error(
            "BEHIND_TLS_PROXY is on, and TRUSTED_PROXIES names no proxy: every request would be "
            "sent to https, for ever.",
            hint="Name the addresses from which the proxy asks, such as 10.0.0.0/8.",
            id="service.E031",
        )
    ]
