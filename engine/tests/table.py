"""What becomes of a value, worked out by hand from docs/transformation.md.

A block is one kind of source column and one type of field: value to result, where `no(…)` is a
refusal and its code. Text stands for what a database writes, anything else for a driver's value.
"""

from datetime import UTC, date, datetime, time

NULL = None
NAN = float("nan")
INF = float("inf")
ONE_DAY = datetime(2026, 1, 31, 3, 4, 5, 500000, tzinfo=UTC)
NAIVE = datetime(2026, 1, 31, 3, 4, 5, 500000)  # noqa: DTZ001 - a moment without a zone
MIDNIGHT = datetime(2026, 1, 31, tzinfo=UTC)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)


def no(code):
    return ("refused", code)


def at(*parts):
    return datetime(*parts, tzinfo=UTC)


NUMBER_TEXT_TO_INTEGER = {
    "5": 5, "-5": -5, "+5": 5, "007": 7, "-007": -7, "0": 0, "-0": 0, "+0": 0,
    "5.": 5, "5.0": 5, "5.000": 5, "-5.": -5, "1e3": 1000, "1E3": 1000, "1e+3": 1000,
    "2.50e1": 25, "100e-2": 1, ".5e1": 5, "0.0": 0, "0e999999999999": 0, "0e-999999999999": 0,
    ".0": 0, "10e-1": 1, "1e0": 1, "1e18": 10**18,
    "9223372036854775807": 9223372036854775807,
    "-9223372036854775808": -9223372036854775808,
    "9223372036854775807.0": 9223372036854775807,
    "0009223372036854775807": 9223372036854775807,
    "9223372036854775808": no("out_of_range"),
    "-9223372036854775809": no("out_of_range"),
    "18446744073709551615": no("out_of_range"),
    "1e19": no("out_of_range"), "1e999999999999999": no("out_of_range"),
    "5.5": no("not_whole"), "-0.1": no("not_whole"), "1e-1": no("not_whole"),
    "1e-999999999999999": no("not_whole"), ".5": no("not_whole"),
    "9223372036854775807.5": no("not_whole"),
    "NaN": no("not_a_number"), "Infinity": no("out_of_range"), "-Infinity": no("out_of_range"),
}  # fmt: skip
NO_NUMBERS = {
    "0x1F": no("not_a_number"), "1_000": no("not_a_number"), "1,5": no("not_a_number"),
    "1 000": no("not_a_number"), "--5": no("not_a_number"), "+ 5": no("not_a_number"),
    "5 5": no("not_a_number"), ".": no("not_a_number"), "+": no("not_a_number"),
    "e5": no("not_a_number"), "1e": no("not_a_number"), "1e+": no("not_a_number"),
    "1e5.0": no("not_a_number"), "5a": no("not_a_number"), "abc": no("not_a_number"),
    "٣": no("not_a_number"), "\uff15": no("not_a_number"), "½": no("not_a_number"),
    "true": no("not_a_number"), "null": no("not_a_number"), "2026-01-31": no("not_a_number"),
    "5\u00a0": no("not_a_number"), "\u200b5": no("not_a_number"), "5\x00": no("not_a_number"),
    "5L": no("not_a_number"), "0b1": no("not_a_number"), "1d": no("not_a_number"),
    "$5": no("not_a_number"), "5%": no("not_a_number"), "..5": no("not_a_number"),
    "1.2.3": no("not_a_number"), "\u22125": no("not_a_number"),
}  # fmt: skip
BLANKS = {"": NULL, " ": NULL, "\t": NULL, "\r\n": NULL, " \t \n": NULL}
MOMENT_REFUSALS = {
    "2026-02-30": no("no_such_date"), "2026-02-29": no("no_such_date"),
    "1900-02-29": no("no_such_date"), "2026-13-01": no("no_such_date"),
    "2026-00-10": no("no_such_date"), "2026-04-31": no("no_such_date"),
    "2026-01-00": no("no_such_date"), "2026-01-32": no("no_such_date"),
    "0000-00-00": no("no_such_date"), "0000-01-01": no("no_such_date"),
    "0000-00-00 00:00:00": no("no_such_date"), "2026-02-30T00:00": no("no_such_date"),
    "2026-01-31T24:00": no("no_such_time"), "2026-01-31T24:00:00": no("no_such_time"),
    "2026-01-31T23:59:60": no("no_such_time"), "2026-01-31T23:60": no("no_such_time"),
    "2026-01-31T03:04+24": no("no_such_time"), "2026-01-31T03:04+01:60": no("no_such_time"),
    "infinity": no("out_of_range"), "-infinity": no("out_of_range"),
    "0044-03-15 BC": no("out_of_range"), "0044-03-15 12:00:00 BC": no("out_of_range"),
    "10000-01-01": no("out_of_range"),
    "0001-01-01T00:00+01:00": no("out_of_range"), "9999-12-31T23:59-01": no("out_of_range"),
}  # fmt: skip
OTHER_FORMS = (
    "2026-1-31", "31.01.2026", "01/31/2026", "20260131", "2026/01/31", "Jan 31 2026", "today",
    "2026-01", "2026", "2026-01-31T", "2026-01-31T03", "2026-01-31T3:04", "2026-01-31T03:4",
    "2026-01-31  03:04", "2026-01-31t03:04", "2026-01-31\t03:04", "2026-01-31T03:04z",
    "2026-01-31T03:04:05.", "2026-01-31T03:04.5", "2026-01-31T03:04:05,5", "2026-01-31Z",
    "2026-01-31+01", "2026-01-31T03:04 Z", "2026-01-31T03:04 +01", "2026-01-31T03:04+1",
    "2026-01-31T03:04+010", "2026-01-31T03:04+01:0", "2026-01-31T03:04UTC",
    "2026-01-31T03:04 Europe/Berlin", "2026-W05-6", "+2026-01-31", "1769829845",
    "\uff11\uff12\uff13\uff14-01-31",
)  # fmt: skip
MOMENTS = {  # text, the moment
    "2026-01-31T03:04:05.5": ONE_DAY,
    "2026-01-31 03:04:05.5": ONE_DAY,
    "2026-01-31T03:04:05.500000": ONE_DAY,
    "2026-01-31T03:04:05.5000009": ONE_DAY,
    "2026-01-31T03:04:05.5Z": ONE_DAY,
    "2026-01-31 03:04:05.5Z": ONE_DAY,
    "2026-01-31T05:04:05.5+02": ONE_DAY,
    "2026-01-31T05:34:05.5+0230": ONE_DAY,
    "2026-01-31T05:34:05.5+02:30": ONE_DAY,
    "2026-01-30T22:04:05.5-05": ONE_DAY,
    "2026-01-31T03:04:05.5+00": ONE_DAY,
    "2026-01-31T03:04:05.5-00:00": ONE_DAY,
    "2026-01-31T03:04": at(2026, 1, 31, 3, 4),
    "2026-01-31T03:04Z": at(2026, 1, 31, 3, 4),
    "2026-01-31 03:04+01": at(2026, 1, 31, 2, 4),
    "2026-01-31T00:30+01:00": at(2026, 1, 30, 23, 30),
    "2026-01-31T23:30-01:00": at(2026, 2, 1, 0, 30),
    "2026-01-31T03:04:05": at(2026, 1, 31, 3, 4, 5),
    "2026-01-31T03:04:05.000001": at(2026, 1, 31, 3, 4, 5, 1),
    "2026-01-31T03:04:05.123456789": at(2026, 1, 31, 3, 4, 5, 123456),
    "1969-12-31T23:59:59.9999999": at(1969, 12, 31, 23, 59, 59, 999999),
    "2024-02-29T12:00": at(2024, 2, 29, 12),
    "2000-02-29 12:00:00": at(2000, 2, 29, 12),
    "0001-01-01T00:00:00": at(1, 1, 1),
    "9999-12-31T23:59:59.999999": LAST,
    "9999-12-31T23:59:59.999999Z": LAST,
    "2026-01-31T03:04+23:59": at(2026, 1, 30, 3, 5),
    " 2026-01-31T03:04 ": at(2026, 1, 31, 3, 4),
    "\t2026-01-31 03:04:05Z\r\n": at(2026, 1, 31, 3, 4, 5),
}
DAYS = {
    "2026-01-31": date(2026, 1, 31), "2024-02-29": date(2024, 2, 29),
    "2000-02-29": date(2000, 2, 29), "0001-01-01": date(1, 1, 1), "0999-12-31": date(999, 12, 31),
    "9999-12-31": date(9999, 12, 31), " 2026-01-31\n": date(2026, 1, 31),
}  # fmt: skip


def all_no(code, *values):
    return dict.fromkeys(values, no(code))


BLOCKS = [
    # Text counts by what is written in it.
    ("text", "string", {
        "abc": "abc", "": "", " ": " ", "  x\t": "  x\t", "größe 日本 🦆": "größe 日本 🦆",
        "line\nend": "line\nend", "'quote\" \\": "'quote\" \\", "\x00": "\x00", "NULL": "NULL",
        "007": "007", "NaN": "NaN", "2026-02-30": "2026-02-30",
    }),
    ("text", "integer", {
        **NUMBER_TEXT_TO_INTEGER, **NO_NUMBERS, **BLANKS, " 5 ": 5, "\t5\r\n": 5, "1": 1,
    }),
    ("text", "float", {
        "5": 5.0, "-5": -5.0, "+5": 5.0, "5.": 5.0, ".5": 0.5, "-.5": -0.5, "1e3": 1000.0,
        "1E-3": 0.001, "0.1": 0.1, "007.50": 7.5, "-0": -0.0, " 2.5 ": 2.5,
        "1.7976931348623157e308": 1.7976931348623157e308, "5e-324": 5e-324, "1e-400": 0.0,
        "9007199254740993": 9007199254740992.0, "0e999999999999": 0.0,
        "NaN": NAN, "nan": NAN, "+NaN": NAN, "-nAn": NAN,
        "Infinity": INF, "infinity": INF, "+Infinity": INF, "-INFINITY": -INF, "inf": INF,
        "-inf": -INF, "+Inf": INF, "\tinf\n": INF,
        "1e400": no("out_of_range"), "-1e309": no("out_of_range"),
        "1.7976931348623159e308": no("out_of_range"),
        "infinite": no("not_a_number"), "nano": no("not_a_number"), "∞": no("not_a_number"),
        "- inf": no("not_a_number"), "1e400x": no("not_a_number"), "nan(1)": no("not_a_number"),
        "in": no("not_a_number"), "\u0131nf": no("not_a_number"), "İnf": no("not_a_number"),
        **NO_NUMBERS, **BLANKS,
    }),
    ("text", "boolean", {
        "true": True, "t": True, "yes": True, "y": True, "on": True, "1": True, "TRUE": True,
        "True": True, "T": True, "YES": True, "oN": True, " true\t": True,
        "false": False, "f": False, "no": False, "n": False, "off": False, "0": False,
        "FALSE": False, "No": False, "OFF": False, "\n0 ": False,
        **all_no("not_a_boolean", "2", "-1", "1.0", "01", "+1", "00", "1e0", "tr", "truee", "ja",
                 "oui", "null", "NaN", "o", "of", "x", "\u017f", "yes no"),
        **BLANKS,
    }),
    ("text", "date", {
        **DAYS, **{text: moment.date() for text, moment in MOMENTS.items()},
        **MOMENT_REFUSALS, **all_no("not_a_date", *OTHER_FORMS), **BLANKS,
    }),
    ("text", "timestamp", {
        **MOMENTS, "2026-01-31": MIDNIGHT, "2024-02-29": at(2024, 2, 29),
        **MOMENT_REFUSALS, **all_no("not_a_timestamp", *OTHER_FORMS), **BLANKS,
    }),
    # Whole numbers, as values and as the digits that a database writes.
    ("integer", "string", {
        5: "5", -5: "-5", 0: "0", 2**63 - 1: "9223372036854775807",
        "18446744073709551615": "18446744073709551615", "42": "42",
    }),
    ("integer", "integer", {
        5: 5, -(2**63): -(2**63), 2**63 - 1: 2**63 - 1, "9223372036854775807": 2**63 - 1,
        "18446744073709551615": no("out_of_range"), "-7": -7,
    }),
    ("integer", "float", {
        5: 5.0, -5: -5.0, 9007199254740993: 9007199254740992.0, "18446744073709551615": 2.0**64,
    }),
    ("integer", "boolean", {
        0: False, 1: True, "0": False, "1": True, 2: no("not_a_boolean"),
        -1: no("not_a_boolean"), "18446744073709551615": no("not_a_boolean"),
    }),
    ("integer", "date", {20260131: no("impossible_cast"), "0": no("impossible_cast")}),
    ("integer", "timestamp", {1769829845: no("impossible_cast"), "0": no("impossible_cast")}),
    # Exact decimals keep their own scale.
    ("decimal", "string", {
        "1.10": "1.10", "0.00": "0.00", "-0.50": "-0.50", "NaN": "NaN", "Infinity": "Infinity",
        "12345678901234567890.123456789": "12345678901234567890.123456789",
        "0.00000000000000000001": "0.00000000000000000001", "100": "100",
    }),
    ("decimal", "integer", {**NUMBER_TEXT_TO_INTEGER, "2.00": 2, "2.01": no("not_whole")}),
    ("decimal", "float", {
        "1.10": 1.1, "2": 2.0, "NaN": NAN, "Infinity": INF, "-Infinity": -INF,
        "12345678901234567890.123456789": 12345678901234567000.0,
        "0." + "0" * 400 + "1": 0.0, "1" + "0" * 400: no("out_of_range"),
    }),
    ("decimal", "boolean", {
        "1": True, "1.00": True, "0": False, "0.000": False, "-0.0": False,
        "2.00": no("not_a_boolean"), "0.5": no("not_a_boolean"), "-1": no("not_a_boolean"),
        "NaN": no("not_a_boolean"), "1" + "0" * 40: no("not_a_boolean"),
    }),
    ("decimal", "date", {"20260131": no("impossible_cast")}),
    ("decimal", "timestamp", {"1769829845.5": no("impossible_cast")}),
    # Floats: the shortest digits that read back the same.
    ("float64", "string", {
        0.1: "0.1", 2.0: "2", -2.0: "-2", 0.0: "0", "-0": "-0", 1.5: "1.5", 1e10: "10000000000",
        999999999999999.0: "999999999999999", 123456789012.5: "123456789012.5",
        99999999999999.5: "99999999999999.5", 1e15: "1e+15", 1234567890123456.0:
        "1.234567890123456e+15", 1e16: "1e+16", 1e22: "1e+22", 1e300: "1e+300", -1e300: "-1e+300",
        1.5e300: "1.5e+300", 0.0001: "0.0001", 0.00012: "0.00012", 1e-05: "1e-05",
        -1.5e-05: "-1.5e-05", 0.00009999: "9.999e-05", 5e-324: "5e-324", 1e-100: "1e-100",
        0.1 + 0.2: "0.30000000000000004", 1.7976931348623157e308: "1.7976931348623157e+308",
        NAN: "NaN", INF: "Infinity", -INF: "-Infinity",
        "1e+20": "1e+20", "0.5": "0.5", "1e-05": "1e-05", "Infinity": "Infinity",
    }),
    ("float64", "integer", {
        2.0: 2, -2.0: -2, -0.0: 0, 1e18: 10**18, -(2.0**63): -(2**63), "3": 3,
        2.5: no("not_whole"), -0.1: no("not_whole"), 5e-324: no("not_whole"),
        2.0**63: no("out_of_range"), 1e300: no("out_of_range"), INF: no("out_of_range"),
        -INF: no("out_of_range"), NAN: no("not_a_number"),
    }),
    ("float64", "float", {0.1: 0.1, -0.0: -0.0, NAN: NAN, INF: INF, "1e+20": 1e20}),
    ("float64", "boolean", {
        0.0: False, "-0": False, 1.0: True, 0.5: no("not_a_boolean"), 2.0: no("not_a_boolean"),
        NAN: no("not_a_boolean"), INF: no("not_a_boolean"),
    }),
    ("float64", "date", {1.0: no("impossible_cast")}),
    ("float64", "timestamp", {1.0: no("impossible_cast")}),
    ("float32", "string", {
        0.1: "0.1", 16777216.0: "16777216", 0.5: "0.5", 2.0: "2", "0.1": "0.1", 1e-05: "1e-05",
        "3.4028235e+38": "3.4028235e+38", 1e20: "1e+20", INF: "Infinity", NAN: "NaN",
    }),
    ("float32", "integer", {2.0: 2, 16777216.0: 16777216, 0.5: no("not_whole")}),
    ("float32", "float", {0.1: 0.1, "0.1": 0.1, 0.5: 0.5, 1e20: 1e20}),
    ("float32", "boolean", {1.0: True, 0.0: False, 0.1: no("not_a_boolean")}),
    # Booleans, and MySQL's TINYINT(1), which is one where it holds 0 or 1.
    ("boolean", "string", {True: "true", False: "false", "t": "true", "f": "false", "1": "true",
                           "0": "false"}),
    ("boolean", "integer", {True: 1, False: 0}),
    ("boolean", "float", {True: no("impossible_cast"), False: no("impossible_cast")}),
    ("boolean", "boolean", {True: True, False: False, "true": True, "false": False}),
    ("boolean", "date", {True: no("impossible_cast")}),
    ("boolean", "timestamp", {False: no("impossible_cast")}),
    ("tinyint1", "string", {0: "false", 1: "true", 2: "2", -128: "-128", "1": "true", "7": "7"}),
    ("tinyint1", "integer", {0: 0, 1: 1, 2: 2, -1: -1, "1": 1}),
    ("tinyint1", "float", {2: 2.0, -1: -1.0, 0: no("impossible_cast"), 1: no("impossible_cast")}),
    ("tinyint1", "boolean", {0: False, 1: True, 2: no("not_a_boolean"), -1: no("not_a_boolean")}),
    ("tinyint1", "date", {1: no("impossible_cast")}),
    ("tinyint1", "timestamp", {2: no("impossible_cast")}),
    # Days and moments.
    ("date", "string", {
        date(2026, 1, 31): "2026-01-31", date(1, 1, 1): "0001-01-01", "2026-01-31": "2026-01-31",
        "infinity": "infinity", "0044-03-15 BC": "0044-03-15 BC", "0000-00-00": "0000-00-00",
        "10000-01-01": "10000-01-01",
    }),
    ("date", "date", {
        date(2026, 1, 31): date(2026, 1, 31), date(9999, 12, 31): date(9999, 12, 31), **DAYS,
        **{text: MOMENT_REFUSALS[text] for text in ("infinity", "-infinity", "0044-03-15 BC",
                                                    "0000-00-00", "10000-01-01", "2026-00-10")},
    }),
    ("date", "timestamp", {
        date(2026, 1, 31): MIDNIGHT, "2026-01-31": MIDNIGHT, date(1, 1, 1): at(1, 1, 1),
        "infinity": no("out_of_range"), "0000-00-00": no("no_such_date"),
    }),
    ("date", "integer", {date(2026, 1, 31): no("impossible_cast"), "infinity":
                         no("impossible_cast")}),
    ("date", "float", {"2026-01-31": no("impossible_cast")}),
    ("date", "boolean", {"2026-01-31": no("impossible_cast")}),
    ("timestamp", "string", {
        NAIVE: "2026-01-31T03:04:05.5", "2026-01-31 03:04:05.500000": "2026-01-31T03:04:05.5",
        "2026-01-31 03:04:05": "2026-01-31T03:04:05", "2026-01-31 00:00:00": "2026-01-31T00:00:00",
        "2026-01-31 03:04:05.000000": "2026-01-31T03:04:05",
        "2026-01-31 03:04:10": "2026-01-31T03:04:10", "0001-01-01 00:00:00": "0001-01-01T00:00:00",
        "0999-12-31 10:00:00.120": "0999-12-31T10:00:00.12", "infinity": "infinity",
        "0044-03-15 12:00:00 BC": "0044-03-15 12:00:00 BC",
        "0000-00-00 00:00:00": "0000-00-00 00:00:00",
        "10000-01-01 00:00:00": "10000-01-01 00:00:00",
    }),
    ("timestamp", "date", {
        NAIVE: date(2026, 1, 31), "2026-01-31 23:59:59.999999": date(2026, 1, 31),
        "-infinity": no("out_of_range"), "0000-00-00 00:00:00": no("no_such_date"),
    }),
    ("timestamp", "timestamp", {
        NAIVE: ONE_DAY, "2026-01-31 03:04:05.5": ONE_DAY, "9999-12-31 23:59:59.999999": LAST,
        "infinity": no("out_of_range"), "0044-03-15 12:00:00 BC": no("out_of_range"),
        "10000-01-01 00:00:00": no("out_of_range"), "0000-00-00 00:00:00": no("no_such_date"),
    }),
    ("timestamp", "integer", {NAIVE: no("impossible_cast")}),
    ("timestamp", "float", {NAIVE: no("impossible_cast")}),
    ("timestamp", "boolean", {NAIVE: no("impossible_cast")}),
    ("timestamptz", "string", {
        ONE_DAY: "2026-01-31T03:04:05.5Z", "2026-01-31 03:04:05.5+00": "2026-01-31T03:04:05.5Z",
        "2026-01-31 03:04:05": "2026-01-31T03:04:05Z",
        "2026-01-31 03:04:05+00:00": "2026-01-31T03:04:05Z",
        "2026-01-31 05:04:05.5+02": "2026-01-31T03:04:05.5Z", "infinity": "infinity",
        "0044-03-15 12:00:00+00 BC": "0044-03-15 12:00:00+00 BC",
        "0000-00-00 00:00:00": "0000-00-00 00:00:00",
        "10000-01-01 00:00:00+00": "10000-01-01 00:00:00+00",
    }),
    ("timestamptz", "date", {
        ONE_DAY: date(2026, 1, 31), "2026-01-31 00:00:00+00": date(2026, 1, 31),
        "2026-01-31 00:30:00+01": date(2026, 1, 30), "infinity": no("out_of_range"),
    }),
    ("timestamptz", "timestamp", {
        ONE_DAY: ONE_DAY, "2026-01-31 03:04:05.5+00": ONE_DAY, "2026-01-31 03:04:05.5": ONE_DAY,
        "-infinity": no("out_of_range"), "0044-03-15 12:00:00+00 BC": no("out_of_range"),
    }),
    ("timestamptz", "integer", {ONE_DAY: no("impossible_cast")}),
    ("timestamptz", "float", {ONE_DAY: no("impossible_cast")}),
    ("timestamptz", "boolean", {"infinity": no("impossible_cast")}),
    # Times of day and spans of time.
    ("time", "string", {
        time(3, 4, 5, 500000): "03:04:05.5", time(0): "00:00:00", "03:04:05.500000": "03:04:05.5",
        "03:04:00": "03:04:00", "03:04:05.000000": "03:04:05", "-838:59:59": "-838:59:59",
        "24:00:00": "24:00:00",
    }),
    ("time", "integer", {"03:04:05": no("not_a_number")}),
    ("time", "boolean", {"00:00:00": no("not_a_boolean")}),
    ("time", "date", {"03:04:05": no("not_a_date")}),
    ("time", "timestamp", {"03:04:05": no("not_a_timestamp")}),
    # Binary becomes text alone.
    ("binary", "string", {b"": "", b"\x00\xff\x10": "AP8Q", b"abc": "YWJj"}),
    ("binary", "integer", {b"5": no("impossible_cast")}),
    ("binary", "float", {b"": no("impossible_cast")}),
    ("binary", "boolean", {b"1": no("impossible_cast")}),
    ("binary", "date", {b"2026-01-31": no("impossible_cast")}),
    ("binary", "timestamp", {b"x": no("impossible_cast")}),
    # JSON and arrays.
    ("json", "string", {
        '{"a": [1, null, true], "b": {}}': '{"a":[1,null,true],"b":{}}',
        '{"b": 1.10, "a": 1e400, "b": 2}': '{"b":1.10,"a":1e400,"b":2}',
        '"a  b\\n\\" : , c"': '"a  b\\n\\" : , c"',
        '{\n\t"a" :\r\n 1}': '{"a":1}',
        '"gr\\u00f6\\u00dfe \\ud83e\\udd86"': '"größe 🦆"', '"größe"': '"größe"',
        '"\\u0022 \\u000a \\\\u00f6"': '"\\u0022 \\u000a \\\\u00f6"',
        '"\\ud800 x"': '"\\ud800 x"', "null": "null", "5": "5", '"x"': '"x"', "[]": "[]",
        '[ "a,b" , [1, 2] ]': '["a,b",[1,2]]',
    }),
    ("json", "integer", {"5": 5, "5.0": 5, "null": no("not_a_number"), '"5"': no("not_a_number"),
                         "[5]": no("not_a_number")}),
    ("json", "float", {"1.5": 1.5, "1e400": no("out_of_range"), "{}": no("not_a_number")}),
    ("json", "boolean", {"true": True, "false": False, "1": True, "null": no("not_a_boolean")}),
    ("json", "date", {'"2026-01-31"': no("not_a_date")}),
    ("json", "timestamp", {'"2026-01-31"': no("not_a_timestamp")}),
]  # fmt: skip
