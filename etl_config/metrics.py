"""Where Prometheus asks, unless METRICS_LISTEN names an address of its own: `/metrics`."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from common import metrics
from common.api.problems import problem_response
from common.exceptions import NotFound


@require_safe
def metrics_view(request: HttpRequest) -> HttpResponse:
    if settings.METRICS_LISTEN:
        return problem_response(NotFound("The metrics have an address of their own."))
    headers = {"Cache-Control": "no-store"}
    return HttpResponse(metrics.exposition(), content_type=metrics.CONTENT_TYPE, headers=headers)
