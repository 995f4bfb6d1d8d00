"""The WSGI application; it refuses to start with settings that cannot work."""

import os
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def with_chunked_bodies(application: Application) -> Application:
    """Return the application for bodies without a length, too: Django reads only what has one.

    They are read here, to one byte beyond the limit, where the parser refuses them.
    """

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_TRANSFER_ENCODING" in environ and environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(settings.MAX_BODY_BYTES + 1)
            environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        return application(environ, start_response)

    return serve


application = with_chunked_bodies(get_wsgi_application())

if problems := [found for found in checks.run_checks(tags=["service"]) if found.is_serious()]:
    raise ImproperlyConfigured(
        "\n".join(f"{found.id}: {found.msg} {found.hint}" for found in problems)
    )
