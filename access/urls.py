"""Addresses of sessions, one's own account, tokens and users."""

from django.urls import re_path

from access.views import (
    MeViewSet,
    PasswordViewSet,
    SessionViewSet,
    TokenViewSet,
    UserViewSet,
)
from common.api.routers import SlashlessRouter

router = SlashlessRouter()
router.register("users", UserViewSet, basename="user")

urlpatterns = [
    *router.urls,
    re_path(
        r"^session/?$",
        SessionViewSet.as_view({"post": "create", "delete": "destroy"}),
        name="session",
    ),
    re_path(r"^me/?$", MeViewSet.as_view({"get": "retrieve"}), name="me"),
    re_path(r"^me/password/?$", PasswordViewSet.as_view({"put": "update"}), name="password"),
    re_path(
        r"^tokens/?$", TokenViewSet.as_view({"get": "list", "post": "create"}), name="token-list"
    ),
    re_path(
        r"^tokens/(?P<id>[0-9a-fA-F]{24})/?$",
        TokenViewSet.as_view({"delete": "destroy"}),
        name="token-detail",
    ),
]
