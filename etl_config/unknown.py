"""Addresses below the API's prefix at which there is nothing."""

from typing import NoReturn

from rest_framework.request import Request
from rest_framework.views import APIView

from access.permissions import IsKnown
from common.exceptions import NotFound


class UnknownAddress(APIView):
    """Refuses every method alike, once it is known who asks."""

    schema = None
    # Which role may do what at no address is nobody's question.
    permission_classes = [IsKnown]

    def refuse(self, request: Request) -> NoReturn:
        raise NotFound(f"There is nothing at {request.path}.")

    get = post = put = patch = delete = options = trace = refuse
