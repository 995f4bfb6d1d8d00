import pytest

from common.tests.client import KINDS, NOBODY, direct, made


@pytest.fixture
def paths(api):
    """Every path of the service, with the methods that it takes."""
    mapping = made(api, "mappings")["id"]
    (rule,) = api.create(f"mappings/{mapping}/column-mappings", [direct()])
    record = "GET, PUT, PATCH, DELETE, HEAD, OPTIONS"
    read = "GET, HEAD, OPTIONS"
    return {
        **dict.fromkeys(KINDS, "GET, POST, HEAD, OPTIONS"),
        **{f"{kind}/{made(api, kind)['id']}": record for kind in KINDS},
        f"mappings/{mapping}/column-mappings": "GET, POST, PUT, DELETE, HEAD, OPTIONS",
        f"mappings/{mapping}/column-mappings/{rule['id']}": record,
        "connections/test": "POST, OPTIONS",
        f"connections/{made(api, 'connections')['id']}/test": "POST, OPTIONS",
        "mappings/preview": "POST, OPTIONS",
        "/health": read,
        "/docs": read,
        "/redoc": read,
        "/openapi.json": read,
    }


def test_every_path_answers_with_and_without_its_slash(api, paths):
    for path, allowed in paths.items():
        if "GET" not in allowed:
            continue
        bare, slashed = api.get(path), api.get(path + "/")
        assert (bare.status, slashed.status) == (200, 200), path
        if path not in ("/health", "/docs"):  # One tells times, the other its own address.
            assert bare.body == slashed.body, path


@pytest.mark.parametrize("kind", KINDS)
def test_writes_take_both_slash_forms(api, kind):
    for end in ("", "/"):
        body = made(api, kind) | {"name": f"both forms{end}", "password": "secret"}
        body = {name: value for name, value in body.items() if name in _sent(kind)}
        answer = api.post(kind + end, body)
        assert answer.status == 201, answer.body
        record = f"{kind}/{answer.json()['id']}{end}"
        assert api.put(record, {"name": f"put{end}"}).json()["name"] == f"put{end}"
        assert api.patch(record, {"name": f"patch{end}"}).json()["name"] == f"patch{end}"
        assert api.delete(record).status == 204


def _sent(kind):
    connection = {"name", "db_type", "host", "port", "database", "username", "password"}
    return {
        "connections": connection,
        "schemas": {"name", "description", "columns"},
        "mappings": {"name", "source_connection_id", "source_query", "target_schema_id"},
        "schedules": {"name", "mapping_id", "cron_expression"},
    }[kind]


def test_options_names_the_methods_of_every_path(api, paths):
    for path, allowed in paths.items():
        for end in ("", "/"):
            answer = api.request("OPTIONS", path + end)
            assert (answer.status, answer.headers["allow"]) == (200, allowed), path


def test_a_method_that_a_path_does_not_take_is_a_405_that_names_those_it_takes(api, paths):
    for path, allowed in paths.items():
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "BREW"):
            if method in allowed.split(", "):
                continue
            answer = api.request(method, path)
            assert (answer.status, answer.headers["allow"]) == (405, allowed), (method, path)
            assert answer.code == "method_not_allowed"
            assert answer.detail == f'Method "{method}" not allowed.'


def test_head_is_get_without_the_body(api, paths):
    for path, allowed in paths.items():
        if "GET" not in allowed:
            continue
        head, get = api.request("HEAD", path), api.get(path)
        assert (head.status, head.body) == (200, b""), path
        for header in ("content-type", "etag", "x-total-count"):
            assert head.headers.get(header) == get.headers.get(header), (path, header)


@pytest.mark.parametrize(
    "path",
    [
        *(f"{kind}/{NOBODY}" for kind in KINDS),
        *(f"{kind}/nonsense" for kind in KINDS),
        *(f"{kind}/%00" for kind in KINDS),
        "connections/0123456789abcdef0123456",
        "connections/0123456789abcdef012345678",
        "connections/0123456789abcdef0123456g",
        f"mappings/{NOBODY}/column-mappings/{NOBODY}",
        "mappings/nonsense/column-mappings",
        "nonsense",
        "/api",
        "/api/v1",
        "/nonsense",
        "/api/v2/connections",
    ],
)
def test_an_unknown_address_or_id_is_a_404_in_the_shape_of_every_error(api, path):
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        for end in ("", "/"):
            answer = api.request(method, path + end, None if method == "GET" else {})
            assert answer.status == 404, (method, path, answer.body)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.code == "not_found"


@pytest.mark.parametrize("kind", KINDS)
def test_an_id_in_capitals_is_the_same_id(api, kind):
    identifier = made(api, kind)["id"]
    assert api.get(f"{kind}/{identifier.upper()}").json()["id"] == identifier


def test_an_accept_header_of_another_kind_still_gets_json(api):
    answer = api.get("connections", Accept="text/html")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
