"""System checks of the settings of notifications and of checks of connections."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from notifications import addresses

MOST_S = 86_400


@register("service")
def address_of_lineage(**kwargs: Any) -> list[CheckMessage]:
    url = settings.OPENLINEAGE_URL
    if not url or (not addresses.problem_of("webhook", url) and not set("@?#") & set(url)):
        return []
    return [
        Error(
            "OPENLINEAGE_URL is no address of an OpenLineage receiver.",
            hint="Give http:// or https://, a host and a port, such as http://marquez:5000; "
            "a key goes into OPENLINEAGE_API_KEY.",
            id="service.E071",
        )
    ]


@register("service")
def interval_of_checks(**kwargs: Any) -> list[CheckMessage]:
    every_s = settings.CONNECTION_CHECK_EVERY_S
    if every_s == 0 or 1 <= every_s <= MOST_S:
        return []
    return [
        Error(
            f"CONNECTION_CHECK_EVERY_S is {every_s:g}; expected 0, or 1 to {MOST_S:,}.",
            hint="Leave it out to have no connection checked.",
            id="service.E070",
        )
    ]
