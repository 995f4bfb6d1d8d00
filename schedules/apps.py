from django.apps import AppConfig


class SchedulesConfig(AppConfig):
    name = "schedules"

    def ready(self) -> None:
        from schedules.impact import schedules_onto
        from schemas import impact

        impact.register("schedules", schedules_onto)
