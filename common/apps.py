from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "common"

    def ready(self) -> None:
        from common import checks  # noqa: F401 - they register themselves
        from common.api import openapi  # noqa: F401 - so do its extensions
