"""What a request must meet before its view is asked, in the order of the settings."""

from typing import Any

from rest_framework.exceptions import MethodNotAllowed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request


class MethodIsServed(BasePermission):
    """Refuses a method that the address does not serve, before anybody asks for a right to it."""

    def has_permission(self, request: Request, view: Any) -> bool:
        method = str(request.method)
        if method.lower() not in view.http_method_names or not hasattr(view, method.lower()):
            raise MethodNotAllowed(method)
        return True
