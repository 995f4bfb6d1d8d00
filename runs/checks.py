"""System checks of the settings of runs."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

LEAST = {
    "RUN_MAX_ATTEMPTS": 1,
    "RUN_RETRY_PAUSE_S": 0,
    "RUN_TIMEOUT_S": 0,
    "RUN_MAX_PER_SOURCE": 1,
    "RUN_KEEP_DAYS": 1,
    "RUN_LOG_KEEP_DAYS": 1,
    "REJECTED_KEEP_DAYS": 1,
}
MOST = 1_000_000


@register("service")
def limits_of_runs(**kwargs: Any) -> list[CheckMessage]:
    return [
        Error(
            f"{name} is {getattr(settings, name):g}; expected {least} to {MOST:,}.",
            hint="Leave it out for the default.",
            id="service.E060",
        )
        for name, least in LEAST.items()
        if not least <= getattr(settings, name) <= MOST
    ]
