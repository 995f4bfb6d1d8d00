"""System checks of who may come in."""

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

LONGEST_DAYS = 36_500


@register("service")
def open_api(**kwargs: Any) -> list[CheckMessage]:
    """Where the API asks for no token, only this machine may reach it."""
    is_shut = settings.API_AUTH == "required" or settings.API_AUTH_OPEN_ANYWHERE
    if is_shut or is_loopback(settings.LISTEN_HOST):
        return []
    return [
        Error(
            f"API_AUTH is open, and LISTEN_HOST is {settings.LISTEN_HOST}: everybody in the "
            "network would be an admin.",
            hint="Set API_AUTH=required, or LISTEN_HOST to a loopback address; where something "
            "else keeps strangers out, API_AUTH_OPEN_ANYWHERE=true.",
            id="service.E050",
        )
    ]


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@register("service")
def token_life(**kwargs: Any) -> list[CheckMessage]:
    if 1 <= settings.TOKEN_MAX_DAYS <= LONGEST_DAYS:
        return []
    return [
        Error(
            f"TOKEN_MAX_DAYS is {settings.TOKEN_MAX_DAYS}; expected 1 to {LONGEST_DAYS:,}.",
            hint="Leave it out for the default, 365.",
            id="service.E051",
        )
    ]
