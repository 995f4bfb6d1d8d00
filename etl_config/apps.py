"""Django's own apps, with ObjectId keys, and the service's."""

import ctypes.util
from importlib import import_module

from django.apps import AppConfig
from django.conf import settings
from django.contrib.admin.apps import AdminConfig
from django.contrib.auth.apps import AuthConfig
from django.contrib.contenttypes.apps import ContentTypesConfig
from django.core.cache import close_caches
from django.core.handlers.base import reset_urlconf
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, reset_queries

OBJECT_ID = "django_mongodb_backend.fields.ObjectIdAutoField"


def _import_backend() -> None:
    """Import the MongoDB backend without its search for a geometry library.

    That takes longer than all else of a start, and nothing here has a shape.
    """
    search = ctypes.util.find_library
    ctypes.util.find_library = lambda name: None
    try:
        import_module("django_mongodb_backend.base")
    finally:
        ctypes.util.find_library = search


# Before any model is, as models have the backend's fields.
_import_backend()


class ServiceConfig(AppConfig):
    name = "etl_config"
    verbose_name = "ETL Engine"

    def ready(self) -> None:
        # The driver keeps its connections by itself: Django has none to close around a request.
        # There are no caches, and every request sets the same addresses.
        request_started.disconnect(close_old_connections)
        for receiver in (close_old_connections, close_caches, reset_urlconf):
            request_finished.disconnect(receiver)
        if not settings.DEBUG:
            request_started.disconnect(reset_queries)


class MongoAdminConfig(AdminConfig):
    default_auto_field = OBJECT_ID


class MongoAuthConfig(AuthConfig):
    default_auto_field = OBJECT_ID


class MongoContentTypesConfig(ContentTypesConfig):
    default_auto_field = OBJECT_ID
