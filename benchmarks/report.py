"""The tables, as Markdown: read in a terminal, pasted into the documentation."""

from collections.abc import Callable, Iterable

from benchmarks.compare import CLIENTS, Comparison, Measured


def comparison(found: Comparison) -> str:
    return "\n\n".join([_endpoints(found), _footprints(found)])


def _endpoints(found: Comparison) -> str:
    head = [
        "endpoint", "ratio", "CPU ms", "CPU ms by 8", "ratio by 8",
        "p50 / p99 ms", "p50 / p99 ms by 8", "requests/s", "requests/s by 8",
    ]  # fmt: skip
    rows = []
    for endpoint in found.endpoints:
        one, eight = (
            [found.results[endpoint.key, name, clients] for name in ("ours", "peer")]
            for clients in CLIENTS
        )
        rows.append(
            [
                endpoint.title,
                f"{_ratio(one):.2f}",
                _pair(one, lambda each: f"{each.cpu_ms:.2f}"),
                _pair(eight, lambda each: f"{each.cpu_ms:.2f}"),
                f"{_ratio(eight):.2f}",
                _pair(one, _latency),
                _pair(eight, _latency),
                _pair(one, lambda each: f"{each.per_second:,.0f}"),
                _pair(eight, lambda each: f"{each.per_second:,.0f}"),
            ]
        )
    return table(head, rows)


def _ratio(pair: list[Measured]) -> float:
    ours, peer = pair
    return ours.cpu_ms / peer.cpu_ms


def _pair(pair: list[Measured], shown: Callable[[Measured], str]) -> str:
    return " : ".join(shown(each) for each in pair)


def _latency(measured: Measured) -> str:
    return f"{measured.p50_ms:.1f} / {measured.p99_ms:.1f}"


def _footprints(found: Comparison) -> str:
    ours, peer = found.footprints["ours"], found.footprints["peer"]
    rows = [
        ["start to first answer, s", f"{ours.first_answer_s:.2f}", f"{peer.first_answer_s:.2f}"],
        ["worker's memory at first, MiB", f"{ours.resident_mib:.0f}", f"{peer.resident_mib:.0f}"],
        ["worker's memory after the load, MiB", f"{ours.resident_after_mib:.0f}",
         f"{peer.resident_after_mib:.0f}"],
    ]  # fmt: skip
    return table(["", "ours", "peer"], rows)


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a Markdown table, its columns lined up."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    )
