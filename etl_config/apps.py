"""Django's own apps, with ObjectId keys, and the service's."""

from importlib import import_module
from typing import Any

from bson import ObjectId
from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.apps import AuthConfig
from django.contrib.contenttypes.apps import ContentTypesConfig

OF_THE_EDITOR = (
    "ace/css/*",
    "ace/keybinding-*",
    "ace/mode-[!s]*",
    "ace/mode-s[!q]*",
    "ace/snippets/*",
    "ace/theme-[!st]*",
    "ace/worker-*",
    "img/*",
    "widget.*",
)
"""What is not served of an editor that comes with hundreds of languages and looks."""
OBJECT_ID = "django_mongodb_backend.fields.ObjectIdAutoField"


class ServiceConfig(AppConfig):
    name = "etl_config"
    verbose_name = "ETL Engine"

    def ready(self) -> None:
        import_module("etl_config.checks")
        if settings.CELERY_BROKER_URL:
            dispatch = import_module("runs.dispatch")
            dispatch.send_by(_send)
        static_files: Any = apps.get_app_config("staticfiles")
        unused = [f"django_ace/{pattern}" for pattern in OF_THE_EDITOR]
        static_files.ignore_patterns = [*static_files.ignore_patterns, *unused]


def _send(run_id: ObjectId, queue: str) -> None:
    """Celery is loaded with the first run that is announced, and not where none is."""
    import_module("etl_config.celery").send(run_id, queue)


class MongoAdminConfig(AdminConfig):
    default_site = "access.site.Site"
    default_auto_field = OBJECT_ID


class MongoAuthConfig(AuthConfig):
    default_auto_field = OBJECT_ID


class MongoContentTypesConfig(ContentTypesConfig):
    default_auto_field = OBJECT_ID
