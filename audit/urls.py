"""The address of the audit."""

from django.urls import re_path

from audit.views import AuditViewSet

urlpatterns = [re_path(r"^audit/?$", AuditViewSet.as_view({"get": "list"}), name="audit-list")]
