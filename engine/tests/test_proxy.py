"""What an object store's library is given to dial with."""

import socket
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from children import networks
from engine.load import proxy
from engine.target import TargetParams
from engine.trial import test_target as tried

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "a-secret", "AWS_REGION": "x"}


@pytest.fixture
def store():
    """An object store that knows no bucket; `asked` has its requests: path, and headers."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.path, {name.lower(): said for name, said in self.headers.items()}))
            body = b"<Error><Code>NoSuchBucket</Code></Error>"
            self.send_response(404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PUT = do_GET  # noqa: N815

        def log_message(self, *args):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = asked
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def a_fresh_proxy():
    """The tests' own process has the proxy of a child, with the networks of each test."""
    before = networks.in_force()
    proxy.running.cache_clear()
    yield
    proxy.running.cache_clear()
    networks.use(before)


def code_of(endpoint):
    target = TargetParams("delta", uri="s3://b/lake", options=KEYS | {"endpoint_url": endpoint})
    with pytest.raises(Exception) as caught:  # noqa: PT011 - `error_code` tells it
        tried(target, 10)
    return caught.value.error_code


def test_a_store_is_asked_through_it(store):
    assert code_of(f"http://localhost:{store.server_port}") == "bucket_not_found"
    path, headers = store.asked[0]
    assert path.startswith("/b")
    assert headers["host"] == f"localhost:{store.server_port}"
    assert "proxy-authorization" not in headers


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_leads_elsewhere_the_second_time_leads_nowhere(store, monkeypatch, scheme):
    networks.use(networks.Networks.of(deny=["127.0.0.0/8"]))
    look_up, looked = socket.getaddrinfo, []

    def moving(host, *args, **options):
        if host != "moving.example":
            return look_up(host, *args, **options)
        looked.append(host)
        return look_up("10.0.0.1" if len(looked) == 1 else "127.0.0.1", *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", moving)
    # It is looked up as the target is opened, and again as the proxy, forked then, is asked.
    assert code_of(f"{scheme}://moving.example:{store.server_port}") == "host_not_allowed"
    assert len(looked) == 1
    assert store.asked == []


def test_nobody_else_is_served(store):
    url = proxy.running().url
    stranger = "http://" + url.partition("@")[2]
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": stranger}))
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(f"http://127.0.0.1:{store.server_port}/b", timeout=5)
    assert caught.value.code == 407
    assert store.asked == []
