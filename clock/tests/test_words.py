import pytest

from clock import InvalidCron, describe


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "Every minute"),
        ("*/1 0-23 * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0,20,40 * * * *", "Every 20 minutes"),
        ("5/15 * * * *", "At minutes 5, 20, 35 and 50 of every hour"),
        ("*/7 * * * *", "At minutes 0, 7, 14 … 56 of every hour"),
        ("@hourly", "Every hour"),
        ("0 */1 * * *", "Every hour"),
        ("5 * * * *", "At minute 5 of every hour"),
        ("0 * * 2 *", "Every hour in February"),
        ("* * * * MON", "Every minute on Monday"),
        ("* 2 * * *", "Every minute from 02:00 to 02:59 every day"),
        ("30 2 * * *", "At 02:30 every day"),
        ("0 6,18 * * *", "At 06:00 and 18:00 every day"),
        ("*/15 2 * * *", "At 02:00, 02:15, 02:30 and 02:45 every day"),
        ("0 */2 * * *", "Every 2 hours from 00:00 to 22:00 every day"),
        ("5 8-20 * * *", "Every hour from 08:05 to 20:05 every day"),
        ("*/20 6-9 * * *", "Every 20 minutes from 06:00 to 09:40 every day"),
        ("0-30 9-17 * * *", "At minutes 0 to 30 of hours 9 to 17 every day"),
        ("1,2 3,5,8,21 * * *", "At minutes 1 and 2 of hours 3, 5, 8 and 21 every day"),
        ("30 6 * * MON-FRI", "At 06:30 from Monday to Friday"),
        ("0 0 * * 0,6", "At 00:00 on Saturday and Sunday"),
        ("0 0 * * FRI-MON", "At 00:00 from Friday to Monday"),
        ("0 0 * * MON-SUN", "At 00:00 every day"),
        ("0 0 1,21 * *", "At 00:00 on days 1 and 21 of the month"),
        ("0 0 31 JAN,JUL *", "At 00:00 on day 31 of January and July"),
        ("0 0 29 2 *", "At 00:00 on day 29 of February"),
        ("0 0 * NOV-FEB *", "At 00:00 every day from November to February"),
        ("0 0 1 NOV-FEB *", "At 00:00 on day 1 of the month from November to February"),
        ("0 0 13 * FRI", "At 00:00 on day 13 of the month or on Friday"),
        ("0 0 1-31 * MON", "At 00:00 every day"),
        ("0 0 1 1 1", "At 00:00 on day 1 of January or on Monday in January"),
        ("0 0 */2 * FRI", "At 00:00 on days 1, 3, 5 … 31 of the month if it is Friday"),
        (
            "0 0 1-7 * */2",
            "At 00:00 on days 1 to 7 of the month if it is Tuesday, Thursday, Saturday or Sunday",
        ),
        ("@yearly", "At 00:00 on day 1 of January"),
        ("@weekly", "At 00:00 on Sunday"),
    ],
)
def test_an_expression_is_told_in_words(expression, words):
    assert describe(expression) == words


def test_nonsense_has_no_words():
    with pytest.raises(InvalidCron):
        describe("whenever")
