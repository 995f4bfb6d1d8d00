from django.apps import AppConfig, apps
from django.db.models.signals import pre_migrate


class CommonConfig(AppConfig):
    name = "common"

    def ready(self) -> None:
        from common import checks  # noqa: F401 - they register themselves
        from common.api import openapi  # noqa: F401 - so do its extensions
        from common.documents.adoption import refuse_duplicates

        # It is sent for every app with models; for the first one is enough.
        first = next(app for app in apps.get_app_configs() if app.models_module)
        pre_migrate.connect(refuse_duplicates, sender=first)
