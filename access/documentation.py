"""How the API's ways to log in stand in the OpenAPI document."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class AuthenticationExtension(OpenApiAuthenticationExtension):
    target_class = "access.authentication.Authentication"
    name = ["token", "session"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        return [
            {
                "type": "http",
                "scheme": "bearer",
                "description": "A token: `etl_` and 40 letters and digits. See `POST tokens`.",
            },
            {
                "type": "apiKey",
                "in": "cookie",
                "name": "sessionid",
                "description": "The admin's session, or one of `POST session`; writes send its "
                "CSRF token as `X-CSRFToken`.",
            },
        ]

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:
        return [{"token": []}, {"session": []}]
