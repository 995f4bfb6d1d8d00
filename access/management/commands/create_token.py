from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, CommandParser

from access import tokens
from access.models import Account, Token
from common.api.roles import ROLES
from common.commands import OperatorCommand, offenders, whole_number
from common.documents import store

MOST_S = 100 * 365 * 86_400


class Command(OperatorCommand):
    help = "Make a token for the API, and print it: this once, and alone."
    examples = ("ci --role editor", "laptop --role viewer --user ada --expires-in 86400")
    exit_codes = {0: "the token is on standard output", 1: "there is no such user, or no such name"}
    when_stopped = "The token may be there; it is listed, and can be ended."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="What it is for; audits show token:NAME.")
        parser.add_argument("--role", required=True, choices=list(ROLES), help="What it may.")
        parser.add_argument("--user", metavar="USER", help="Its owner; nobody's without one.")
        parser.add_argument(
            "--expires-in",
            type=whole_number(1, MOST_S),
            metavar="SECONDS",
            help="It lives until it is ended without.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        token = Token(name=options["name"], role=options["role"])
        if options["user"]:
            token.owner_id = self._owner(options["user"], options["role"])
        if options["expires_in"]:
            token.expires_at = store.now() + timedelta(seconds=options["expires_in"])
        try:
            token.full_clean(exclude=["hash", "prefix"])
        except ValidationError as wrong:
            raise offenders("No token was made:", wrong.messages) from wrong
        self.stdout.write(tokens.issue(token))

    def _owner(self, username: str, role: str) -> Any:
        document = store.find_one(Account, {"username": username})
        if document is None:
            raise CommandError(f'There is no user "{username}".')
        account = Account.from_document(document)
        if account.granted < ROLES[role]:
            has = account.granted.word if account.granted else "no role"
            self.stderr.write(f'"{username}" is {has}: the token may no more than that.')
        return account.pk
