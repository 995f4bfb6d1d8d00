"""The clock: the slots of a five-field cron expression in a time zone, forwards and backwards.

Plain values in, plain values out; it knows neither Django nor the store.
"""

from clock.cron import MAX_LENGTH, Expression, InvalidCron, parse
from clock.slots import next_slots, previous_slots, slots_between
from clock.words import describe
from clock.zones import UnknownZone, zone_named, zone_names

__all__ = [
    "MAX_LENGTH",
    "Expression",
    "InvalidCron",
    "UnknownZone",
    "describe",
    "next_slots",
    "parse",
    "previous_slots",
    "slots_between",
    "zone_named",
    "zone_names",
]
