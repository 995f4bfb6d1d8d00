"""Refusals as `application/problem+json`."""

from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pymongo.errors import ConnectionFailure, DuplicateKeyError, PyMongoError
from starlette.exceptions import HTTPException

CODES = {"missing": "required", "extra_forbidden": "unknown_field"}
HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 415: "unsupported_media_type"}


class Problem(Exception):
    """A refusal: `detail` is one readable sentence."""

    def __init__(
        self, status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors

    def response(self) -> Response:
        body: dict[str, Any] = {
            "type": f"urn:etl-engine:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.errors:
            body["errors"] = self.errors
        return Response(orjson.dumps(body), self.status, media_type="application/problem+json")


class Invalid(Problem):
    """One or more fields are wrong: (path, code, message) of each."""

    def __init__(self, *found: tuple[str, str, str]) -> None:
        errors = [
            {"field": field, "code": code, "message": message} for field, code, message in found
        ]
        detail = "; ".join(f"{field}: {message.rstrip('.')}" for field, _, message in found)
        super().__init__(400, "invalid", f"{detail}.", errors)


def not_found(noun: str, identifier: str) -> Problem:
    return Problem(404, "not_found", f"There is no {noun} with the id {identifier}.")


def duplicate_name(noun: str, name: str) -> Problem:
    message = f'A {noun} named "{name}" exists already; choose another name.'
    error = {"field": "name", "code": "duplicate_name", "message": message}
    return Problem(409, "duplicate_name", message, [error])


def stale() -> Problem:
    return Problem(
        412, "stale", "The record changed since it was read; read it again and repeat the change."
    )


def of_pydantic(error: dict[str, Any]) -> tuple[str, str, str]:
    path = [str(part) for part in error["loc"] if part not in ("body", "query", "path")]
    return ".".join(path), CODES.get(error["type"], error["type"]), error["msg"]


def register(app: FastAPI) -> None:
    @app.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, raised: RequestValidationError) -> Response:
        errors = raised.errors()
        if any(error["loc"][0] == "path" for error in errors):
            return Problem(404, "not_found", "There is nothing at this address.").response()
        if any(error["type"] == "json_invalid" for error in errors):
            return Problem(400, "invalid", "The body is not valid JSON.").response()
        return Invalid(*map(of_pydantic, errors)).response()

    @app.exception_handler(HTTPException)
    async def http(request: Request, raised: HTTPException) -> Response:
        code = HTTP_CODES.get(raised.status_code, "invalid")
        return Problem(raised.status_code, code, str(raised.detail)).response()

    @app.exception_handler(PyMongoError)
    async def store(request: Request, raised: PyMongoError) -> Response:
        if not isinstance(raised, ConnectionFailure) and not raised.timeout:
            raise raised
        response = Problem(503, "store_unavailable", "The store does not answer.").response()
        response.headers["Retry-After"] = "2"
        return response


def names_clash(clash: DuplicateKeyError) -> bool:
    return "name" in ((clash.details or {}).get("keyPattern") or {})
