"""What a process that is confined cannot do, by any library: one for each case."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFINED = """
import os, socket, subprocess, sys, urllib.request
from children import guard, networks
networks.use(networks.Networks.of(["127.0.0.2/32"]))
refused = guard.confine()
port = int(sys.argv[1])
try:
    {work}
except OSError as exc:
    print(type(exc).__name__, refused)
else:
    print("done", refused)
"""


def said(work: str, port: int) -> str:
    command = [sys.executable, "-c", CONFINED.format(work=work), str(port)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    ("work", "outcome"),
    [
        ("socket.create_connection(('127.0.0.1', port))", "done []"),
        ("socket.create_connection(('127.0.0.2', port))", "PermissionError ['127.0.0.2']"),
        ("urllib.request.urlopen(f'http://127.0.0.2:{port}')", "URLError ['127.0.0.2']"),
        ("socket.socket().connect_ex(('::ffff:127.0.0.2', port))",
         "PermissionError ['::ffff:127.0.0.2']"),
        ("socket.socket().connect(('localhost', port))", "PermissionError ['localhost']"),
        ("socket.socket(socket.AF_UNIX).connect('/run/bus')", "PermissionError ['a path']"),
        ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.2', port))",
         "PermissionError ['127.0.0.2']"),
        ("open('/etc/hostname')", "PermissionError []"),
        ("open(os.__file__)", "done []"),
        ("os.open('/etc/../etc/passwd', os.O_RDONLY)", "PermissionError []"),
        ("subprocess.run(['true'])", "PermissionError []"),
        ("os.system('true')", "PermissionError []"),
    ],
)  # fmt: skip
def test_what_is_forbidden_is_not_done(work, outcome):
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert said(work, server.getsockname()[1]) == outcome
