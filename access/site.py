"""The admin's site: open to every role, and to nobody who has none."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest
from unfold.forms import AuthenticationForm
from unfold.sites import UnfoldAdminSite

from access import attempts
from access.memberships import role_of
from common.api.roles import Role

NO_ROLE = "This account has no role yet; an admin can give it one."


class LoginForm(AuthenticationForm):
    """Looks at no password once too many from this address were wrong. Raises TooManyAttempts."""

    def clean(self) -> Any:
        if not (self.cleaned_data.get("username") and self.cleaned_data.get("password")):
            return super().clean()
        attempts.note()
        cleaned = super().clean()
        attempts.give_back()
        return cleaned

    def confirm_login_allowed(self, user: Any) -> None:
        if role_of(user) is Role.EVERYONE:
            raise ValidationError(NO_ROLE, code="forbidden")


class Site(UnfoldAdminSite):
    login_form = LoginForm

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Change one's own password; a wrong old one is an attempt like any other."""
        if request.method != "POST":
            return super().password_change(request, extra_context)
        attempts.note()
        response = super().password_change(request, extra_context)
        form = (getattr(response, "context_data", None) or {}).get("form")
        if form is None or "old_password" not in form.errors:
            attempts.give_back()
        return response

    def has_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return bool(user.is_authenticated) and role_of(user) is not Role.EVERYONE
