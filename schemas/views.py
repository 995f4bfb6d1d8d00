"""Schemas over REST."""

from common.api.parameters import ListParameters
from common.api.roles import Role
from common.api.views import DocumentViewSet, records_access
from schemas.models import Schema
from schemas.serializers import SchemaSerializer


class SchemaViewSet(DocumentViewSet):
    serializer_class = SchemaSerializer
    parameters = ListParameters(Schema, filters=["name"], search=["name", "description"])
    access = records_access(writes=Role.EDITOR)
