"""The process that children are forked from: `python -m children.zygote FD MODULE…`.

It holds one socket to its host, and ends with it. Each request of the host brings the two ends
that the child is to have: a socket for questions and answers, and a pipe for the order to stop.
The answer is the child's pidfd, so that no other process can be killed in its place.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from importlib import import_module
from types import ModuleType

import orjson

from children import child
from children.limits import Limits, adopt_orphans, die_with_parent, hide, restrict

READY = b"ready"


def main(arguments: list[str]) -> None:
    """Load the modules, then fork for as long as the host holds its end of the socket."""
    hide()
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the host, which ends this one
    host = socket.socket(fileno=int(arguments[0]))
    modules = {name: import_module(name) for name in arguments[1:]}
    host.send(READY)
    wakeup = _child_signals()
    poll = select.poll()
    poll.register(host, select.POLLIN)
    poll.register(wakeup, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == wakeup.fileno():
                wakeup.recv(4096)
                _reap()
            elif not _fork_on_request(host, modules):
                signal.set_wakeup_fd(-1)
                return


def _child_signals() -> socket.socket:
    """Return a socket that can be read whenever a child has ended."""
    ours, kernels = socket.socketpair()
    kernels.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(kernels.detach(), warn_on_full_buffer=False)
    return ours


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _fork_on_request(host: socket.socket, modules: dict[str, ModuleType]) -> bool:
    """Fork the child that the host asks for; False when the host is gone."""
    data, fds, _, _ = socket.recv_fds(host, 4096, 2)
    if not data:
        return False
    pid = os.fork()
    if pid == 0:
        _become_child(host, modules, Limits(**orjson.loads(data)), *fds)
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(host, [str(pid).encode()], [pidfd])
    except OSError:
        return False
    finally:
        for fd in (*fds, pidfd):
            os.close(fd)
    return True


def _become_child(
    host: socket.socket, modules: dict[str, ModuleType], limits: Limits, talk: int, stop: int
) -> None:
    die_with_parent()
    host.close()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    restrict(limits)
    try:
        child.serve(socket.socket(fileno=talk), stop, modules)
    finally:
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
