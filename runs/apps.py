from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from runs import checks, in_use  # noqa: F401 - checks register themselves

        in_use.register()
