"""The pages that explain the API, made from this server alone."""

from functools import cache
from importlib.resources import files
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.views import APIView

from common.api.json import JSON, JSONRenderer, to_json
from common.api.roles import Access, Role

REDOC = "drf_spectacular_sidecar/static/drf_spectacular_sidecar/redoc/bundles/redoc.standalone.js"
START = b"""
{
  const fontFamily = "system-ui, sans-serif";
  const typography = { fontFamily, headings: { fontFamily } };
  Redoc.init("%s", { theme: { typography } }, document.getElementById("redoc"));
}
"""
LOGO_FROM_ELSEWHERE = b"https://cdn.redoc.ly/redoc/logo-mini.svg"


class OpenAPIView(APIView):
    """The OpenAPI document, made once a process."""

    access: ClassVar[Access] = {"get": Role.EVERYONE}
    authentication_classes = ()

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        return HttpResponse(openapi_document(), content_type=JSON)


@cache
def openapi_document() -> bytes:
    return to_json(SchemaGenerator().get_schema(request=None, public=True))


def redoc_script(request: HttpRequest) -> HttpResponse:
    """Redoc's script, without the logo that it would load from its makers' host, and its start.

    It stands in no page, so that a page needs to allow no script of its own.
    """
    headers = {"Cache-Control": "no-store" if settings.DEBUG else "max-age=86400"}
    return HttpResponse(_redoc(), content_type="text/javascript; charset=utf-8", headers=headers)


@cache
def _redoc() -> bytes:
    package, _, path = REDOC.partition("/")
    script: Any = files(package).joinpath(path)
    start = START % reverse("openapi").encode()
    return bytes(script.read_bytes().replace(LOGO_FROM_ELSEWHERE, b"data:,") + start)


class _Page(APIView):
    """A page for people; whatever else is asked of it gets JSON, like everywhere."""

    access: ClassVar[Access] = {"get": Role.EVERYONE}
    authentication_classes = ()
    permission_classes = list(APIView.permission_classes)

    def get_renderers(self) -> list[Any]:
        if self.request.method in ("GET", "HEAD"):
            return super().get_renderers()
        return [JSONRenderer()]


class SwaggerPage(_Page, SpectacularSwaggerSplitView):
    pass


class RedocPage(_Page, SpectacularRedocView):
    pass
