"""The audit over REST: a list, newest first."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from audit.parameters import AuditParameters
from audit.serializers import EntrySerializer
from common.api.roles import Access, Role
from common.api.views import DocumentViewSet


class AuditViewSet(DocumentViewSet):
    serializer_class: Any = EntrySerializer
    parameters = AuditParameters(filters=["actor", "action", "kind", "record_id"])
    access: ClassVar[Access] = {"list": Role.ADMIN}
    http_method_names = ("get", "head", "options")

    @extend_schema(responses=EntrySerializer(many=True))
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        """List who changed what, newest first."""
        return super().list(request, *args, **kwargs)
