"""The comparison: both programs by turns, the same requests, medians of several rounds."""

import tempfile
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import answers, data
from benchmarks.endpoints import Bench, Endpoint
from benchmarks.load import run
from benchmarks.services import OURS, PEER, Service, ensure_peer, service
from benchmarks.store import Store, store
from devtools.console import LauncherError, say

CLIENTS = (1, 8)
STARTS = 3


@dataclass(frozen=True)
class Measured:
    """One run, or the medians of several."""

    cpu_ms: float
    p50_ms: float
    p99_ms: float
    per_second: float


@dataclass(frozen=True)
class Footprint:
    """What a program needs before it does anything, and after the load."""

    first_answer_s: float
    resident_mib: float
    resident_after_mib: float


Results = dict[tuple[str, str, int], Measured]
"""By endpoint, program and number of clients."""


@dataclass(frozen=True)
class Comparison:
    endpoints: list[Endpoint]
    results: Results
    footprints: dict[str, Footprint]


def compare(endpoints: list[Endpoint], rounds: int, seconds: float) -> Comparison:
    """Measure both programs. Raises LauncherError, also where they answer differently."""
    ensure_peer()
    with ExitStack() as stack:
        held = stack.enter_context(store())
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bench = Bench(held.database, data.token_of(held.environment["ENCRYPTION_KEY"]))
        say("Loading the documents")
        data.load(bench.database, bench.token)
        starts = _starts(held, logs)
        services = [
            stack.enter_context(service(program, held.environment, logs / program.name))
            for program in (OURS, PEER)
        ]
        resident = {each.name: each.resident_mib() for each in services}
        say(f"{answers.compare(bench, services)} answers are the same")
        results = _rounds(bench, services, endpoints, rounds, seconds)
        footprints = {
            each.name: Footprint(
                median([*starts[each.name], each.first_answer_s]),
                resident[each.name],
                each.resident_mib(),
            )
            for each in services
        }
        return Comparison(endpoints, results, footprints)


def _starts(held: Store, logs: Path) -> dict[str, list[float]]:
    """Return the time to the first answer of further starts, by turns."""
    say("Starting each a few times")
    found: dict[str, list[float]] = defaultdict(list)
    for _ in range(STARTS - 1):
        for program in (OURS, PEER):
            with service(program, held.environment, logs / program.name) as running:
                found[program.name].append(running.first_answer_s)
    return found


def _rounds(
    bench: Bench,
    services: list[Service],
    endpoints: list[Endpoint],
    rounds: int,
    seconds: float,
) -> Results:
    runs: dict[tuple[str, str, int], list[Measured]] = defaultdict(list)
    for number in range(rounds):
        say(f"Round {number + 1} of {rounds}")
        for endpoint in endpoints:
            for clients in CLIENTS:
                # A B, then B A: neither always finds the store as the other left it.
                for each in services if number % 2 == 0 else reversed(services):
                    measured = measure(bench, each, endpoint, clients, seconds)
                    runs[endpoint.key, each.name, clients].append(measured)
    return {key: _median(found) for key, found in runs.items()}


def measure(
    bench: Bench, target: Service, endpoint: Endpoint, clients: int, seconds: float
) -> Measured:
    """Run one endpoint's requests. Raises LauncherError where an answer is not the expected one."""
    try:
        wires = endpoint.requests(bench, target)
        warm, wires = wires[:20], wires[20:]
        run(target.port, warm, endpoint.status, clients, seconds / 4)
        before = target.cpu_s()
        sample = run(target.port, wires, endpoint.status, clients, seconds)
        cpu_s = target.cpu_s() - before
    finally:
        if endpoint.clean:
            bench.clean()
    if sample.unexpected:
        raise LauncherError(
            f"{endpoint.title}, {target.name}: {sample.unexpected.status} "
            f"{sample.unexpected.body[:300]!r}"
        )
    return Measured(
        cpu_s * 1000 / len(sample.latencies_s),
        sample.percentile_ms(0.5),
        sample.percentile_ms(0.99),
        sample.per_second,
    )


def _median(found: Iterable[Measured]) -> Measured:
    found = list(found)
    return Measured(
        median(each.cpu_ms for each in found),
        median(each.p50_ms for each in found),
        median(each.p99_ms for each in found),
        median(each.per_second for each in found),
    )
