"""Schemas over REST."""

from common.api.parameters import Parameters
from common.api.views import DocumentViewSet
from schemas.models import Schema
from schemas.serializers import SchemaSerializer


class SchemaViewSet(DocumentViewSet):
    serializer_class = SchemaSerializer
    parameters = Parameters(Schema, filters=["name"], search=["name", "description"])
