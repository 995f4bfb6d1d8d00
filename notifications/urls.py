"""Addresses of the notifications."""

from django.urls import re_path

from common.api.routers import SlashlessRouter
from notifications.views import DeliveryViewSet, NotificationViewSet

router = SlashlessRouter()
router.register("notifications", NotificationViewSet, basename="notification")

urlpatterns = [
    *router.urls,
    re_path(
        r"^notifications/(?P<id>[0-9a-fA-F]{24})/deliveries/?$",
        DeliveryViewSet.as_view({"get": "list"}),
        name="notification-deliveries",
    ),
]
