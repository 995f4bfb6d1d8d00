"""Bring the store to what the code expects, in one process: `make run` waits for it each time.

Prints one word: whether the password in the file named by ADMIN_PASSWORD_FILE opens the admin.
"""

import os
import sys
from pathlib import Path

import django
from django.core.management import CommandError, call_command, get_commands
from django.core.management.base import SystemCheckError

from devtools.console import LauncherError, fail, say
from devtools.processes import new_password, write_private

ADMIN = "admin"


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "etl_config.settings")
    django.setup()
    try:
        say("Collections and indexes")
        call_command("migrate", interactive=False, verbosity=0)
        print(_ensure_admin(Path(os.environ["ADMIN_PASSWORD_FILE"])))
        say("Static files")
        call_command("collectstatic", interactive=False, verbosity=0)
        if os.environ.get("DEMO_SOURCE_URL") and "seed_demo" in get_commands():
            say("Demo configuration")
            call_command("seed_demo", run=True, stdout=sys.stderr)
    except (CommandError, SystemCheckError) as error:
        return fail(LauncherError(str(error).strip()))
    return 0


def _ensure_admin(password_file: Path) -> str:
    """Create the first login where the store has no superuser; later ones are its owner's."""
    from django.contrib.auth.models import User

    users = User.objects
    admin = users.filter(username=ADMIN).first()
    if admin is None and not users.filter(is_superuser=True).exists():
        if not password_file.exists():
            write_private(password_file, new_password())
        password = password_file.read_text().strip()
        users.create_superuser(ADMIN, password=password)
        return "known"
    known = (
        admin is not None
        and password_file.exists()
        and admin.check_password(password_file.read_text().strip())
    )
    return "known" if known else "changed"


if __name__ == "__main__":
    sys.exit(main())
