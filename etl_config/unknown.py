"""Addresses below the API's prefix at which there is nothing."""

from typing import NoReturn

from rest_framework.request import Request
from rest_framework.views import APIView

from access.permissions import IsKnown
from common.api.roles import Access, Role
from common.exceptions import NotFound


class UnknownAddress(APIView):
    """Refuses every method alike, once it is known who asks."""

    schema = None
    access: Access = dict.fromkeys(("get", "post", "put", "patch", "delete", "trace"), Role.VIEWER)
    # That there is nothing is told to everybody who is known, whatever they send and may.
    permission_classes = [IsKnown]

    def refuse(self, request: Request) -> NoReturn:
        raise NotFound(f"There is nothing at {request.path}.")

    get = post = put = patch = delete = options = trace = refuse
