"""Schemas over REST."""

from common.listing import Parameters
from common.views import DocumentViewSet
from schemas.models import Schema
from schemas.serializers import SchemaSerializer


class SchemaViewSet(DocumentViewSet):
    serializer_class = SchemaSerializer
    parameters = Parameters(Schema, filters=["name"], search=["name", "description"])
