"""The WSGI application; it refuses to start with settings that cannot work."""

import os

from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")

application = get_wsgi_application()

if problems := [found for found in checks.run_checks(tags=["service"]) if found.is_serious()]:
    raise ImproperlyConfigured(
        "\n".join(f"{found.id}: {found.msg} {found.hint}" for found in problems)
    )
