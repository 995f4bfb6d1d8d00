import pytest
from rest_framework.permissions import BasePermission
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from common import context


class Nobody(BasePermission):
    def has_permission(self, request, view):
        return False


class Closed(APIView):
    permission_classes = [*api_settings.DEFAULT_PERMISSION_CLASSES, Nobody]

    def get(self, request):
        return Response()


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 403), ("HEAD", 403), ("OPTIONS", 403), ("POST", 405), ("TRACE", 405), ("FOO", 405)],
)
def test_the_method_is_checked_before_the_right(method, status):
    request = APIRequestFactory().generic(method, "/")
    with context.use(context.NOBODY):
        assert Closed.as_view()(request).status_code == status
