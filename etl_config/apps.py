"""Django's own apps, with ObjectId keys, and the service's."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.apps import AuthConfig
from django.contrib.contenttypes.apps import ContentTypesConfig
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

OBJECT_ID = "django_mongodb_backend.fields.ObjectIdAutoField"


class ServiceConfig(AppConfig):
    name = "etl_config"
    verbose_name = "ETL Engine"

    def ready(self) -> None:
        # The driver keeps its connections by itself: Django has none to close around a request.
        request_started.disconnect(close_old_connections)
        request_finished.disconnect(close_old_connections)


class MongoAdminConfig(AdminConfig):
    default_auto_field = OBJECT_ID


class MongoAuthConfig(AuthConfig):
    default_auto_field = OBJECT_ID


class MongoContentTypesConfig(ContentTypesConfig):
    default_auto_field = OBJECT_ID
