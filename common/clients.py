"""The client at the other end of a request: is it still there?"""

from __future__ import annotations

import socket
from collections.abc import Callable

from django.http import HttpRequest


def hung_up(request: HttpRequest) -> Callable[[], bool] | None:
    """Return a question whether the client closed the connection; None where nobody can tell.

    The server must hand out its socket, as gunicorn does.
    """
    connection = request.META.get("gunicorn.socket")
    if not isinstance(connection, socket.socket):
        return None

    def closed() -> bool:
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    return closed
