"""Serve the service until it is told to stop: `python -m etl_config.serve`.

Settings that cannot work are told before anything listens. SIGTERM and SIGINT let requests end
that have begun, for up to `STOP_S`.
"""

import logging
import os
import sys
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels

HEADERS_MS = 5_000
"""What a client has for its headers; a connection between two requests is kept as long."""
STOP_S = 15
"""A probe or a preview may take a little over five seconds; let it end before a restart."""
CONNECTIONS = 800
"""That a worker holds at once; the next wait to be accepted. Below a usual limit of open files."""

logger = logging.getLogger("etl_config.serve")  # not `__main__`


def main() -> None:
    try:
        # Workers are forked from here: what is imported now is there in all of them.
        import_module("etl_config.wsgi")
    except ImproperlyConfigured as wrong:
        sys.exit(str(wrong))
    import_module("common.metrics").forget_the_dead()
    logger.info(
        "Serving on %s:%s: %s workers of up to %s threads",
        settings.LISTEN_HOST,
        settings.PORT,
        settings.WEB_CONCURRENCY,
        settings.SERVER_THREADS,
    )
    server().serve(target_loader=worker, wrap_loader=False)


def worker() -> Any:
    """Return the application, in each of the workers, and begin what they do beside requests."""
    application = import_module("etl_config.wsgi").application
    import_module("audit.service").start()
    import_module("runs.shared").start()
    import_module("common.metrics_address").start()
    return application


def server() -> Any:
    return Granian(
        "etl_config.wsgi:application",
        address=settings.LISTEN_HOST,
        port=settings.PORT,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=HEADERS_MS),
        workers=settings.WEB_CONCURRENCY,
        blocking_threads=settings.SERVER_THREADS,
        backpressure=CONNECTIONS,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_S,
        # Its warnings are of threads that are many, which those that wait for others have to be.
        log_level=LogLevels.error,
        log_dictconfig=settings.LOGGING,
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")
    main()
