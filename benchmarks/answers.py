"""Do both programs answer the same? A comparison of their speed means nothing otherwise."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import data
from benchmarks.endpoints import API, SCRATCH, Bench
from benchmarks.load import Answer, Client, request
from benchmarks.services import Service
from devtools.console import LauncherError

NEW_EACH_TIME = ("id", "_id", "created_at", "updated_at")
HEADERS = ("content-type", "x-total-count", "link")


@dataclass(frozen=True)
class Outcome:
    """What of an answer must be equal; a refusal's words are each program's own."""

    case: str
    status: int
    body: Any
    headers: dict[str, str]

    def __str__(self) -> str:
        return f"{self.status} {self.headers} {str(self.body)[:1000]}"


def compare(bench: Bench, services: list[Service]) -> int:
    """Return how many answers were compared.

    Raises LauncherError naming every case in which they differ.
    """
    first, second = (list(_outcomes(bench, service)) for service in services)
    differing = [
        f"{ours.case}\n  ours: {ours}\n  peer: {peer}"
        for ours, peer in zip(first, second, strict=True)
        if ours != peer
    ]
    if differing:
        raise LauncherError("\n".join(["The two answer differently.", *differing]))
    return len(first)


def _outcomes(bench: Bench, service: Service) -> Iterator[Outcome]:
    bench.clean()
    try:
        with Client(service.port) as client:
            caller = Caller(client, service.port)
            yield from _reads(bench, caller)
            yield from _connection_life(caller)
            yield from _refused_connections(bench, caller)
            yield from _rules(bench, caller)
            yield from _schedules(bench, caller)
    finally:
        bench.clean()
        bench.database["schedules"].delete_many({"name": {"$regex": f"^{SCRATCH}"}})


class Caller:
    def __init__(self, client: Client, port: int) -> None:
        self.client = client
        self.port = port
        self.last: Answer

    def __call__(
        self, case: str, method: str, path: str, body: Any = None, new: bool = False, **headers: str
    ) -> Outcome:
        """Send a request; of a record that is `new` each time, only the lasting fields count."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.last = answer = self.client.send(request(method, f"{API}{path}", body, named))
        found = answer.json()
        if answer.status >= 400:
            errors = found.get("errors", [])
            found = found["code"], sorted(error["field"] for error in errors)
        elif new:
            records = found if isinstance(found, list) else [found]
            found = [_lasting(record) for record in records]
        held = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
        if "link" in held:
            held["link"] = held["link"].replace(f":{self.port}", "")
        if answer.status == 304:
            held.pop("content-type", None)
        # Only that there is one: what a tag is made of is each program's own.
        held["etag"] = str("etag" in answer.headers)
        return Outcome(f"{case}: {method} {path}", answer.status, found, held)


def _lasting(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in NEW_EACH_TIME}


def _reads(bench: Bench, call: Caller) -> Iterator[Outcome]:
    connection, mapping = bench.ids("connections", 1)[0], bench.ids("mappings", 1)[0]
    yield call("first page", "GET", "/connections?limit=50")
    yield call("a middle page", "GET", "/connections?limit=50&offset=100")
    yield call("everything", "GET", "/connections")
    yield call("an equality filter", "GET", "/connections?db_type=mysql&limit=10")
    yield call("an unknown parameter", "GET", "/connections?lmit=10")
    yield call("no page at all", "GET", "/connections?limit=0")
    yield call("a record", "GET", f"/connections/{connection}")
    etag = call.last.headers["etag"]
    yield call("unchanged", "GET", f"/connections/{connection}", If_None_Match=etag)
    yield call("changed", "GET", f"/connections/{connection}", If_None_Match='"old"')
    yield call("unknown id", "GET", f"/connections/{mapping}")
    yield call("malformed id", "GET", "/connections/nope")
    yield call("rules", "GET", f"/mappings/{mapping}/column-mappings")
    yield call("rules of none", "GET", f"/mappings/{connection}/column-mappings")
    yield call("schedules", "GET", "/schedules?limit=50")
    yield call("enabled schedules", "GET", "/schedules?enabled=true&limit=50")


def _connection_life(call: Caller) -> Iterator[Outcome]:
    body = data.connection_body(1, SCRATCH)
    yield call("create", "POST", "/connections", body, new=True)
    created = call.last.json()
    path, etag = f"/connections/{created['id']}", call.last.headers["etag"]
    moved = {"port": 1, "password": body["password"]}
    yield _anonymous(call("stale change", "PUT", path, moved, If_Match='"old"'))
    yield _anonymous(call("change", "PUT", path, moved, new=True, If_Match=etag))
    yield _anonymous(call("stale delete", "DELETE", path, If_Match=etag))
    whole = {**call.client.send(request("GET", f"{API}{path}")).json(), "database": "other"}
    yield _anonymous(call("sent back whole", "PUT", path, whole, new=True))
    yield _anonymous(call("empty password", "PATCH", path, {"password": ""}, new=True))
    yield _anonymous(call("null host", "PUT", path, {"host": None}))
    yield _anonymous(call("taken name", "PUT", path, {"name": "source 1"}))
    half = {"ssh_host": "gate", "password": body["password"]}
    yield _anonymous(call("a tunnel by halves", "PUT", path, half))
    yield _anonymous(call("delete", "DELETE", path))
    yield _anonymous(call("delete again", "DELETE", path))


def _anonymous(outcome: Outcome) -> Outcome:
    case, _, _ = outcome.case.partition(":")
    return Outcome(case, outcome.status, outcome.body, outcome.headers)


def _refused_connections(bench: Bench, call: Caller) -> Iterator[Outcome]:
    good = data.connection_body(2, SCRATCH)
    wrong: dict[str, Any] = {
        "a typo": {"prot": 1},
        "an empty name": {"name": " "},
        "a long name": {"name": "x" * 101},
        "no number": {"port": "x"},
        "no port": {"port": None},
        "a port too high": {"port": 65536},
        "another kind": {"db_type": "oracle"},
        "no text": {"host": 7},
        "no host": {"host": "http://db/"},
        "a key without its certificate": {"ssl_key": "key"},
        "a tunnel by halves": {"ssh_host": "gate"},
        "two at once": {"port": 0, "database": ""},
        "a taken name": {"name": "source 1"},
    }
    for case, changes in wrong.items():
        yield call(case, "POST", "/connections", {**good, **changes})
    yield call("nothing", "POST", "/connections", {})
    del good["port"]
    yield call("a default port", "POST", "/connections", good, new=True)
    used = bench.database["mappings"].find_one({}) or {}
    yield call("delete in use", "DELETE", f"/connections/{used['source_connection_id']}")


def _rules(bench: Bench, call: Caller) -> Iterator[Outcome]:
    path = f"/mappings/{bench.ids('mappings', 2)[1]}/column-mappings"
    direct, (split,) = data.rules()[0], data.rules()[3:4]
    wrong: dict[str, list[Any]] = {
        "an unknown field": [{**direct, "target_fields": ["nowhere"]}],
        "written twice": [direct, direct],
        "a split into one": [{**split, "target_fields": ["field_0"]}],
        "a split without delimiter": [{**split, "config": {}}],
        "a direct rule with config": [{**direct, "config": {"separator": ""}}],
        "an unknown kind": [{**direct, "type": "copy"}],
        "a typo": [{**direct, "tpye": "copy"}],
    }
    for case, body in wrong.items():
        yield call(case, "PUT", path, body)
    yield call("rules replaced", "PUT", path, data.rules(), new=True)
    yield call("rules of no mapping", "PUT", f"/mappings/{'0' * 24}/column-mappings", data.rules())


def _schedules(bench: Bench, call: Caller) -> Iterator[Outcome]:
    good = {
        "name": f"{SCRATCH} schedule",
        "mapping_id": str(bench.ids("mappings", 1)[0]),
        "cron_expression": "0 6 * * *",
    }
    wrong: dict[str, Any] = {
        "an unknown mapping": {"mapping_id": "0" * 24},
        "a malformed id": {"mapping_id": "x"},
        "four fields": {"cron_expression": "0 6 * *"},
        "never": {"cron_expression": "0 0 30 2 *"},
        "no timezone": {"timezone": "Mars/Olympus"},
        "a taken name": {"name": "schedule 1"},
        "a typo": {"enable": True},
    }
    for case, changes in wrong.items():
        yield call(case, "POST", "/schedules", {**good, **changes})
    yield call("a schedule", "POST", "/schedules", good, new=True)
