"""What drf-spectacular is told beyond what it reads from views and serializers."""

from drf_spectacular.openapi import AutoSchema as BaseAutoSchema


class AutoSchema(BaseAutoSchema):
    pass
