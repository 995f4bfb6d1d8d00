"""Django's `migrate`, for as long as it takes: an index of many documents is not made in 2 s."""

from typing import Any

import pymongo
from django.core.management.commands import migrate


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        with pymongo.timeout(0):
            super().handle(*args, **options)
