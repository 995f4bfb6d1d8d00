"""Someone at the admin's login page, in a browser."""

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User

from common.tests.browser import Browser, opened


@pytest.fixture
def browser(stored, live_server, monkeypatch) -> Iterator[Browser]:
    """Someone at the login page, who may log in as `admin` with `to-log-in`."""
    # Playwright's loop runs in the thread of the test, whose fixtures speak to the store.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    User.objects.create_superuser("admin", password="to-log-in")
    with opened(live_server.url) as found:
        yield found
