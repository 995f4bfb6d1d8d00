"""The app of source databases."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from children import networks


class ConnectionsConfig(AppConfig):
    name = "connections"

    def ready(self) -> None:
        from common import metrics
        from connections import checks  # noqa: F401 - registers them
        from connections.places import shared_folder_or_none
        from sources import asking

        asking.told = metrics.count_question
        networks.use(
            networks.Networks.of(settings.SOURCE_DENY_NETWORKS, settings.SOURCE_ALLOW_NETWORKS)
        )

        asking.configure(
            max_probes=settings.PROBE_MAX_CONCURRENT,
            max_queries=settings.PREVIEW_MAX_CONCURRENT,
            shared=shared_folder_or_none(),
        )
