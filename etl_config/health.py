"""The service about itself: its name and its health."""

import time
from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import extend_schema, inline_serializer
from pymongo import timeout as within
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

import runs.health
from common.api.roles import Access, Role
from common.documents import store
from common.secrets import keys as crypto

PING_TIMEOUT_S = 1.5


class RootView(APIView):
    access: ClassVar[Access] = {"get": Role.EVERYONE}
    authentication_classes = ()

    @extend_schema(
        tags=["service"],
        responses=inline_serializer(
            "Service",
            {
                "name": serializers.CharField(),
                "version": serializers.CharField(),
                "api_prefix": serializers.CharField(),
                "docs": serializers.CharField(),
                "redoc": serializers.CharField(),
                "openapi": serializers.CharField(),
                "health": serializers.CharField(),
            },
        ),
    )
    def get(self, request: Request) -> Response:
        """Name the service, its version, and where its API and its documentation are."""
        return Response(
            {
                "name": "ETL Engine Backend",
                "version": settings.VERSION,
                "api_prefix": settings.API_V1_PREFIX,
                "docs": "/docs",
                "redoc": "/redoc",
                "openapi": "/openapi.json",
                "health": "/health",
            }
        )


class CheckSerializer(serializers.Serializer):
    status = serializers.ChoiceField(choices=["healthy", "unhealthy", "up", "absent"])
    latency_ms = serializers.FloatField(required=False)
    workers = serializers.IntegerField(required=False)
    leader = serializers.CharField(required=False, help_text="The scheduler that leads.")
    lag_s = serializers.FloatField(required=False, help_text="How long a run or slot waits by now.")
    unroutable = serializers.IntegerField(
        required=False, help_text="Runs that wait, and that no worker of now takes."
    )
    error = serializers.CharField(required=False)


class HealthSerializer(serializers.Serializer):
    status = serializers.ChoiceField(choices=["healthy", "unhealthy"])
    version = serializers.CharField()
    checks = serializers.DictField(child=CheckSerializer())


class HealthView(APIView):
    access: ClassVar[Access] = {"get": Role.EVERYONE}
    authentication_classes = ()

    @extend_schema(tags=["service"], responses={200: HealthSerializer, 503: HealthSerializer})
    def get(self, request: Request) -> Response:
        """Tell whether the service can do its work: 200 healthy, 503 not; a check a dependency."""
        checks = {"mongodb": _checked(_ping), "encryption_key": _checked(crypto.cipher)}
        healthy = all(check["status"] == "healthy" for check in checks.values())
        answers = checks["mongodb"]["status"] == "healthy"
        for name, ask in (("worker", runs.health.worker), ("scheduler", runs.health.scheduler)):
            checks[name] = _sign_of_life(ask) if answers else {"status": "absent"}
        return Response(
            {
                "status": "healthy" if healthy else "unhealthy",
                "version": settings.VERSION,
                "checks": checks,
            },
            status=200 if healthy else 503,
            headers={"Cache-Control": "no-store"} | ({} if healthy else {"Retry-After": "2"}),
        )


class LiveView(APIView):
    access: ClassVar[Access] = {"get": Role.EVERYONE}
    authentication_classes = ()

    @extend_schema(
        tags=["service"],
        operation_id="health_live",
        responses=inline_serializer("Live", {"status": serializers.CharField()}),
    )
    def get(self, request: Request) -> Response:
        """Tell that the process answers, whatever else is down."""
        return Response({"status": "healthy"}, headers={"Cache-Control": "no-store"})


class ReadyView(APIView):
    access: ClassVar[Access] = {"get": Role.EVERYONE}
    authentication_classes = ()

    @extend_schema(
        tags=["service"],
        operation_id="health_ready",
        responses={200: HealthSerializer, 503: HealthSerializer},
    )
    def get(self, request: Request) -> Response:
        """Tell whether requests can be sent here: 200 where store and key are there, else 503."""
        checks = {"mongodb": _checked(_ping), "encryption_key": _checked(crypto.cipher)}
        ready = all(check["status"] == "healthy" for check in checks.values())
        return Response(
            {
                "status": "healthy" if ready else "unhealthy",
                "version": settings.VERSION,
                "checks": checks,
            },
            status=200 if ready else 503,
            headers={"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": "2"}),
        )


def _ping() -> None:
    with within(PING_TIMEOUT_S):
        store.ping()


def _sign_of_life(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a process beside the service says of itself, by the store."""
    try:
        with within(PING_TIMEOUT_S):
            return ask()
    except Exception as failure:
        return {"status": "absent", "error": type(failure).__name__}


def _checked(check: Any) -> dict[str, Any]:
    started = time.perf_counter()
    try:
        check()
    except Exception as failure:
        # The message may quote the address and the account; its class says enough.
        return {"status": "unhealthy", "error": type(failure).__name__}
    return {
        "status": "healthy",
        "latency_ms": round((time.perf_counter() - started) * 1000, 2),
    }
