from importlib import import_module

from django.apps import AppConfig

from common.documents import trail


class AuditConfig(AppConfig):
    name = "audit"

    def ready(self) -> None:
        import_module("audit.checks")
        from audit.entries import record

        trail.register(record)
