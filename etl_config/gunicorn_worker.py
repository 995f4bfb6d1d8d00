"""How gunicorn's threads serve: a client's next request in the thread that answered its last."""

from __future__ import annotations

import select
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

LINGER_S = 0.25


class LingeringWorker(ThreadWorker):
    """The threaded worker, lighter on clients that send one request after another.

    It hands each request of a kept-alive connection from its polling thread to a pool and
    back, which costs as much as a small request itself. Here the thread that answered waits for
    the next request of its client, as long as there are threads for twice the open connections:
    so nobody else waits for it.
    """

    def init_process(self) -> None:
        # As plain attributes: gunicorn looks up each of two dozen settings anew for every request.
        self.cfg.__dict__ |= {name: found.get() for name, found in self.cfg.settings.items()}
        super().init_process()

    def handle(self, conn: TConn) -> Any:
        kept = super().handle(conn)
        while kept is True and self._has_threads_to_spare() and _asks_again(conn):
            kept = super().handle(conn)
        return kept

    def handle_request(self, req: Any, conn: TConn) -> bool:
        kept = bool(super().handle_request(req, conn))
        if kept and getattr(req.body.reader, "length", None) == 0:
            # All of the body was read, so there is nothing for gunicorn to look for. One in chunks
            # has no length.
            conn.parser.mesg = None
        return kept

    def _has_threads_to_spare(self) -> bool:
        return bool(self.alive) and self.nr_conns * 2 <= self.cfg.threads


def _asks_again(conn: TConn) -> bool:
    """Tell whether the client sends, or hangs up, before `LINGER_S` is over."""
    if conn.parser.unreader.buf.getvalue():
        return True  # It sent two at once, and the second is read already.
    poll = select.poll()
    poll.register(conn.sock, select.POLLIN)
    return bool(poll.poll(LINGER_S * 1000))
