"""An address of its own where Prometheus asks: METRICS_LISTEN."""

from __future__ import annotations

import logging
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from django.conf import settings

from common import metrics

AGAIN_S = 2.0

logger = logging.getLogger("common.metrics")


def address(text: str) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:9100`, or of `:9100`. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not 1 <= int(port) <= 65_535:
        raise ValueError(f"{port} is no port.")
    return host.strip("[]") or "0.0.0.0", int(port)  # noqa: S104 - as was asked for


def start() -> None:
    """Tell the numbers at METRICS_LISTEN, in a thread, if it is set.

    Each process of the service tries: of those on one machine one has the address, and another
    takes it over when it ends.
    """
    if settings.METRICS_LISTEN:
        threading.Thread(target=_serve_for_ever, name="metrics", daemon=True).start()


def _serve_for_ever() -> None:
    where = address(settings.METRICS_LISTEN)
    while True:
        try:
            with _Server(where, _Handler) as server:
                logger.info("Metrics at %s", settings.METRICS_LISTEN)
                server.serve_forever()
        except OSError:
            time.sleep(AGAIN_S)


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    timeout = 10
    server_version = "etl-engine"
    sys_version = ""

    def do_GET(self) -> None:
        if urlsplit(self.path).path.rstrip("/") != "/metrics":
            self.send_error(404)
            return
        body = metrics.exposition()
        self.send_response(200)
        self.send_header("Content-Type", metrics.CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Nobody needs a line of each scrape."""
