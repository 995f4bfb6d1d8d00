"""Requests that nobody thought of, made by the OpenAPI document: none of them may end in a crash.

The same ones each time; for others, and more of them, set FUZZ_SEED and FUZZ_EXAMPLES.
"""

import os

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from etl_config.wsgi import django_application

SEED = int(os.environ.get("FUZZ_SEED", "20"))
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
# These ask sources, of which a random host is none; or end the session that asks.
LEFT_OUT = r"/(test|tables|preview|from-query|dry-run|verify|rows|lineage|session)(/|$)"

FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def operations():
    schema = schemathesis.openapi.from_wsgi("/openapi.json", django_application)
    return [found.ok() for found in schema.exclude(path_regex=LEFT_OUT).get_all_operations()]


def test_no_request_ends_in_a_crash(api):
    for operation in operations():

        @seed(SEED)
        @FUZZ
        @given(case=operation.as_strategy())
        def hold(case):
            answer = case.call()
            case.validate_response(answer, checks=[not_a_server_error, response_schema_conformance])

        hold()
