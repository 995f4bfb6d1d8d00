"""The timeline as its page shows it: where each mark stands in the picture, and its words."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse

from mappings.picture import cut
from runs.timeline import BIN, BINS, DUE, Bin, Lane, Moment, Timeline, first_shown

LEFT, STEP, ROW, TOP, MARGIN = 170, 5, 40, 24, 24
WIDTH = LEFT + BINS * STEP + MARGIN
MOST_HIGH = 30
EACH_HIGH = 6
TICKS = range(-24, 25, 6)
NAME_LENGTH = 20
COUNTED = ("succeeded", "failed", "skipped", DUE)
TONES = {
    "failed": "bad",
    "cancelled": "warn",
    "skipped": "warn",
    "running": "info",
    "queued": "quiet",
    "succeeded": "good",
    DUE: "due",
}


def page(found: Timeline) -> dict[str, Any]:
    """Return what the template needs, numbers whole."""
    height = TOP + len(found.lanes) * ROW
    return {
        "timeline": found,
        "svg": {
            "width": WIDTH,
            "height": height + MARGIN,
            "bottom": height,
            "left": LEFT,
            "now": _place(found.now, found.now),
            "ticks": [_tick(hours, found.now) for hours in TICKS],
        },
        "lanes": [_lane(lane, index) for index, lane in enumerate(found.lanes)],
        "skipped": [_listed(one, "runs_run") for one in found.skipped],
        "ahead": [_listed(one, "schedules_schedule") for one in found.ahead],
        "words": "; ".join(words_of(lane) for lane in found.lanes) or "nothing",
    }


def words_of(lane: Lane) -> str:
    """Return a lane in a sentence, for those who do not see it."""
    said = [f"{lane.counts[state]} {state}" for state in COUNTED if lane.counts[state]]
    busiest = lane.busiest
    if busiest:
        most = f"at most {len(busiest.moments)} in a quarter of an hour"
        said.append(f"{most}, from {busiest.start:%H:%M} UTC")
    return f"{lane.name}: {', '.join(said)}"


def _place(moment: datetime, now: datetime) -> int:
    return LEFT + round((moment - first_shown(now)) / BIN * STEP)


def _tick(hours: int, now: datetime) -> dict[str, Any]:
    text = f"{hours:+} h" if hours else "now"
    return {"x": _place(now + timedelta(hours=hours), now), "text": text}


def _lane(lane: Lane, index: int) -> dict[str, Any]:
    bottom = TOP + (index + 1) * ROW - 4
    return {
        "name": lane.name,
        "shown": cut(lane.name, NAME_LENGTH),
        "bottom": bottom,
        "middle": bottom - ROW // 2 + 8,
        "marks": [_mark(one, bottom) for one in lane.bins],
        "counts": [lane.counts[state] for state in COUNTED],
        "busiest": lane.busiest,
    }


def _mark(one: Bin, bottom: int) -> dict[str, Any]:
    height = min(4 + EACH_HIGH * len(one.moments), MOST_HIGH)
    return {
        "x": LEFT + one.place * STEP,
        "y": bottom - height,
        "width": STEP - 1,
        "height": height,
        "tone": TONES[one.state],
        "words": one.words,
    }


def _listed(moment: Moment, page_name: str) -> dict[str, Any]:
    address = reverse(f"admin:{page_name}_change", args=[moment.record_id])
    return {"moment": moment, "address": address}
