"""Every address of the service; each answers with and without its trailing slash."""

from django.conf import settings
from django.contrib import admin
from django.urls import include, path, re_path

import access.urls
import audit.urls
import connections.urls
import mappings.urls
import notifications.urls
import runs.urls
import schedules.urls
import schemas.urls
import targets.urls
from etl_config.documentation import OpenAPIView, RedocPage, SwaggerPage, redoc_script
from etl_config.health import HealthView, LiveView, ReadyView, RootView
from etl_config.metrics import metrics_view
from etl_config.unknown import UnknownAddress

api = [
    *access.urls.urlpatterns,
    *connections.urls.urlpatterns,
    *schemas.urls.urlpatterns,
    *targets.urls.urlpatterns,
    *mappings.urls.urlpatterns,
    *schedules.urls.urlpatterns,
    *runs.urls.urlpatterns,
    *notifications.urls.urlpatterns,
    *audit.urls.urlpatterns,
    # Whatever else begins like the API is refused like the API, also while DEBUG is on.
    re_path(r"", UnknownAddress.as_view()),
]

prefix = settings.API_V1_PREFIX.strip("/")

urlpatterns = [
    path(f"{prefix}/", include(api)),
    path(prefix, UnknownAddress.as_view()),
    path("", RootView.as_view(), name="root"),
    re_path(r"^health/?$", HealthView.as_view(), name="health"),
    re_path(r"^health/live/?$", LiveView.as_view(), name="live"),
    re_path(r"^health/ready/?$", ReadyView.as_view(), name="ready"),
    re_path(r"^metrics/?$", metrics_view, name="metrics"),
    re_path(r"^openapi\.json/?$", OpenAPIView.as_view(), name="openapi"),
    re_path(r"^docs/?$", SwaggerPage.as_view(url_name="openapi"), name="docs"),
    re_path(r"^redoc\.js$", redoc_script, name="redoc-script"),
    re_path(r"^redoc/?$", RedocPage.as_view(url_name="openapi"), name="redoc"),
    path("admin/", admin.site.urls),
]

handler400 = "common.admin.error_pages.bad_request"
handler403 = "common.admin.error_pages.forbidden"
handler404 = "common.admin.error_pages.not_found"
handler500 = "common.admin.error_pages.server_error"
