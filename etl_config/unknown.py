"""Addresses below the API's prefix at which there is nothing."""

from typing import Any

from rest_framework.request import Request
from rest_framework.views import APIView

from common.exceptions import NotFound


class UnknownAddress(APIView):
    """Refuses every method alike, once it is known who asks."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotFound(f"There is nothing at {request.path}.")
