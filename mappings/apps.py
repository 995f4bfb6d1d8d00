from django.apps import AppConfig


class MappingsConfig(AppConfig):
    name = "mappings"

    def ready(self) -> None:
        from mappings import checks  # noqa: F401 - they register themselves
        from mappings.impact import mappings_onto, rules_onto
        from schemas import impact

        impact.register("mappings", mappings_onto)
        impact.register("column_mappings", rules_onto)
