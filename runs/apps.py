from django.apps import AppConfig


class RunsConfig(AppConfig):
    name = "runs"

    def ready(self) -> None:
        from runs import checks, duties, health, in_use, slots, upkeep  # noqa: F401 - some register themselves
        from schedules.models import at_deletion

        in_use.register()
        at_deletion(slots.cancel_queued)
        duties.register(duties.Duty("upkeep", upkeep.remove_old, every_s=600.0))
