"""Who may do what: roles, tokens, accounts, and the limit of wrong passwords."""

from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate


class AccessConfig(AppConfig):
    name = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        for module in ("checks", "documentation", "signals"):
            import_module(f"access.{module}")
        post_migrate.connect(tell_of_tokens, sender=self)


ASKS_HOW = """
The API asks for a token now. Make one, and send it as `Authorization: Bearer <token>`:

  python manage.py create_token NAME --role viewer

Roles: viewer, analyst, editor, operator, admin. API_AUTH=open leaves the API open on a loopback
address.
"""


def tell_of_tokens(verbosity: int, plan: Any = (), stdout: Any = None, **kwargs: Any) -> None:
    """Say after the first migration of this app what whoever upgrades will meet.

    `flush` sends the same signal, without a plan.
    """
    is_first = any(one.app_label == "access" and not back for one, back in plan)
    if is_first and verbosity and stdout and settings.API_AUTH == "required":
        stdout.write(ASKS_HOW)
