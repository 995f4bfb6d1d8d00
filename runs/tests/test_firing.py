"""Which slots run: the rules of schedules as a table."""

from datetime import UTC, datetime, timedelta

import pytest

from runs.firing import MAX_RECORDS, MAX_WAITING, Decision, Rules, Situation, decide, jitter_of

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
FREE = Situation()


def ago(*seconds):
    return [NOW - timedelta(seconds=one) for one in seconds]


def reasons(slots, rules, situation=FREE):
    return [decision.reason for decision in decide(slots, NOW, rules, situation)]


@pytest.mark.parametrize(("catch_up", "slots", "expected"), [
    ("none", ago(0), [None]),
    ("none", ago(30), [None]),
    ("none", ago(31), ["missed"]),
    ("none", ago(90, 20), ["missed", None]),
    ("latest", ago(31), [None]),
    ("latest", ago(3600), [None]),
    ("latest", ago(3601), ["too_late"]),
    ("latest", ago(7200, 120, 60), ["too_late", "missed", None]),
    ("all", ago(7200, 120, 60), ["too_late", None, None]),
])  # fmt: skip
def test_late_slots_run_as_the_schedule_says(catch_up, slots, expected):
    assert reasons(slots, Rules(catch_up=catch_up)) == expected


@pytest.mark.parametrize(("catch_up", "expected"), [
    ("none", ["missed", "missed"]), ("latest", ["missed", "missed"]), ("all", [None, None]),
])  # fmt: skip
def test_where_the_newest_has_a_run_no_older_one_takes_its_place(catch_up, expected):
    slots = ago(120, 60, 0)
    made = decide(slots, NOW, Rules(catch_up=catch_up), FREE, taken={slots[-1]})
    assert [(one.slot, one.reason) for one in made] == list(zip(slots, expected, strict=False))


@pytest.mark.parametrize("window_s", [0, 10])
def test_thirty_seconds_are_not_late_whatever_the_window(window_s):
    rules = Rules(catch_up_window=timedelta(seconds=window_s))
    assert reasons(ago(30), rules) == [None]
    assert reasons(ago(31), rules) == ["too_late"]


@pytest.mark.parametrize(("situation", "expected"), [
    (Situation(mapping_gone=True, is_busy=True), ["mapping_gone"] * 3),
    (Situation(is_busy=True), ["too_late", "missed", "overlap"]),
    (Situation(waiting=MAX_WAITING), ["too_late", "missed", "queue_full"]),
])  # fmt: skip
def test_the_first_reason_that_holds_is_told(situation, expected):
    assert reasons(ago(7200, 120, 60), Rules(), situation) == expected


def test_one_that_queues_waits_until_a_thousand_do():
    rules = Rules(overlap="queue", catch_up="all")
    full = Situation(is_busy=True, waiting=MAX_WAITING - 1)
    assert reasons(ago(60, 0), rules, full) == [None, "queue_full"]


def test_older_slots_that_are_skipped_share_a_record():
    slots = ago(*range(60 * (MAX_RECORDS + 5), 0, -60))
    made = decide(slots, NOW, Rules(catch_up="none"), FREE)
    assert len(made) == MAX_RECORDS + 1
    assert made[0] == Decision(slots[0], "too_late", 5)
    assert {one.skipped_slots for one in made[1:]} == {1}
    assert sum(one.skipped_slots for one in made) == len(slots)


def test_jitter_delays_and_lateness_counts_from_its_end():
    rules = Rules(catch_up="none", jitter=timedelta(seconds=60))
    assert reasons(ago(59), rules) == []
    assert reasons(ago(90), rules) == [None]
    assert reasons(ago(91), rules) == ["missed"]


def test_jitter_is_fixed_by_the_id_and_within_its_limit():
    found = {jitter_of(f"{number:024x}", 10) for number in range(500)}
    assert found == {timedelta(seconds=one) for one in range(11)}
    assert jitter_of("a", 10) == jitter_of("a", 10)
    assert jitter_of("a", 0) == timedelta()
