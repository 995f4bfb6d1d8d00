"""The router of the API: every path answers with and without its trailing slash."""

from rest_framework.routers import SimpleRouter


class SlashlessRouter(SimpleRouter):
    def __init__(self) -> None:
        super().__init__()
        self.trailing_slash = "/?"
