"""Notifications over REST, the test of one, and what was sent."""

from __future__ import annotations

from typing import Any, ClassVar

from bson import ObjectId
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from common.api.parameters import ListParameters, TimelineParameters
from common.api.roles import Access, Role
from common.api.views import DocumentViewSet, records_access
from common.documents.models import exists
from common.documents.store import Stored
from common.exceptions import NotFound
from connections.serializers import NothingSerializer
from notifications.models import Delivery, Notification
from notifications.serializers import (
    DeliverySerializer,
    NotificationSerializer,
    TestDeliverySerializer,
)
from notifications.trial import try_notification


class NotificationViewSet(DocumentViewSet):
    serializer_class = NotificationSerializer
    parameters = ListParameters(
        Notification,
        filters=["name", "kind", "enabled"],
        search=["name"],
        ordered_by=["last_delivery_at"],
    )
    access = records_access(writes=Role.OPERATOR) | {"probe_saved": Role.OPERATOR}
    asks_sources = frozenset({"probe_saved"})
    source_refusals: ClassVar = {"probe_saved": ("429",)}

    @extend_schema(request=NothingSerializer, responses=TestDeliverySerializer)
    @action(detail=True, methods=["post"], url_path="test", url_name="test")
    def probe_saved(self, request: Request, **kwargs: Any) -> Response:
        """Send a message with the event `test` now, and tell how it went; takes no overrides."""
        document = self.get_document()
        NothingSerializer(data=request.data).is_valid(raise_exception=True)
        return Response(try_notification(Notification.from_document(document)))


class DeliveryViewSet(DocumentViewSet):
    """What was sent, and what waits to be, by one notification."""

    serializer_class: Any = DeliverySerializer
    parameters = TimelineParameters(Delivery, ["event", "status"], "at")
    access: ClassVar[Access] = {"list": Role.OPERATOR}
    http_method_names = ("get", "head", "options")

    def scope(self) -> Stored:
        return {"notification_id": ObjectId(self.kwargs["id"])}

    @extend_schema(responses=DeliverySerializer(many=True))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """List the deliveries of 30 days, newest first."""
        if not exists(Notification, ObjectId(self.kwargs["id"])):
            raise NotFound(f"There is no notification with the id {self.kwargs['id']}.")
        return super().list(request, *args, **kwargs)
