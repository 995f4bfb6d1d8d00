from django.apps import AppConfig
from django.conf import settings


class ConnectionsConfig(AppConfig):
    name = "connections"

    def ready(self) -> None:
        from connections import preview, probe

        probe.configure(max_probes=settings.PROBE_MAX_CONCURRENT)
        preview.configure(max_previews=settings.PREVIEW_MAX_CONCURRENT)
