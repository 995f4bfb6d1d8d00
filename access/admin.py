"""Users, groups and tokens in the admin: the same accounts and rules as in the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin, UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget

from access import tokens
from access.memberships import role_of
from access.models import ROLE_CHOICES, Account, LastAdmin, Token
from common.admin.badges import age
from common.admin.forms import DocumentForm
from common.admin.model_admin import DocumentAdmin
from common.api.roles import ROLES, Role
from common.documents import store

admin.site.unregister([User, Group])


def account_of(user: Any) -> Account:
    document = store.find_one(Account, {"_id": user.pk})
    return Account.from_document(document) if document else Account()


class RoleMixin(forms.ModelForm):
    """A user's role, in the place of groups and of rights one by one."""

    role = forms.ChoiceField(
        choices=[("", "none"), *ROLE_CHOICES], required=False, widget=UnfoldAdminSelectWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "role" in self.fields:
            role = account_of(self.instance).granted
            self.fields["role"].initial = role.word if role else ""

    def clean(self) -> Any:
        cleaned = super().clean()
        if self.instance.pk and "role" in self.fields:
            account = account_of(self.instance)
            is_admin = self.cleaned_data.get("role") == Role.ADMIN.word
            if not (is_admin and self.cleaned_data.get("is_active")):
                try:
                    account.refuse_if_last_admin()
                except LastAdmin as refusal:
                    raise forms.ValidationError(refusal.detail, code=refusal.code) from refusal
        return cleaned


class ChangeForm(RoleMixin, UserChangeForm):
    pass


class CreationForm(RoleMixin, UserCreationForm):
    pass


class PasswordForm(AdminPasswordChangeForm):
    def save(self, commit: bool = True) -> Any:
        """Write the password by the seam of all writes."""
        user = super().save(commit=False)
        account = account_of(user)
        account.password = user.password
        account.save()
        return user


@admin.register(User)
class UserAdmin(DjangoUserAdmin, ModelAdmin):
    form = ChangeForm
    add_form = CreationForm
    change_password_form = PasswordForm
    list_display = ("username", "role", "is_active", "seen")
    list_filter = ("is_active",)
    search_fields = ("username",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Access", {"fields": ("role", "is_active")}),
        ("History", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "role", "password1", "password2")}),)

    class Media:
        css: ClassVar = {"all": ["common/admin.css"]}

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Users are ended one by one."""
        return {}

    @admin.display(description="Role")
    def role(self, obj: User) -> str:
        role = account_of(obj).granted
        return role.word if role else "none"

    @admin.display(description="Last login", ordering="last_login")
    def seen(self, obj: User) -> SafeString:
        return age(obj.last_login)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        account = account_of(obj)
        account.username, account.password = obj.username, obj.password
        account.is_active = obj.is_active
        if "role" in form.cleaned_data:
            account.choose_role(ROLES.get(form.cleaned_data["role"], Role.EVERYONE))
        account.save()
        obj.pk = account.pk

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The role is saved with the account."""

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except LastAdmin as refusal:
            messages.error(request, refusal.detail)
            return redirect("admin:auth_user_change", object_id)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        account_of(obj).delete()


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """The roles; what each may is told by the API's table, and who has one by the users."""

    fields = ("name",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class TokenForm(DocumentForm):
    class Meta:
        help_texts: ClassVar = {
            "expires_at": f"In UTC. Empty: in {tokens.DEFAULT_LIFE.days} days.",
        }

    def clean_expires_at(self) -> datetime | None:
        ends: datetime | None = self.cleaned_data["expires_at"]
        if ends and (said := tokens.end_problem(ends)):
            raise forms.ValidationError(said, code="invalid")
        return ends


@admin.register(Token)
class TokenAdmin(DocumentAdmin):
    """The tokens of the person; an admin sees all of them."""

    form = TokenForm
    list_display = ("name", "prefix", "role", "owner", "used", "ends")
    ordering = ("-updated_at", "-id")
    search_fields = ("name",)
    fieldsets = (
        (None, {"fields": ("name", "role", "expires_at")}),
        ("History", {"fields": ("prefix", "owner", "created_at", "last_used_at")}),
    )
    readonly_fields = ("prefix", "owner", "created_at", "last_used_at")

    def prefetch(self, page: Sequence[Any]) -> None:
        owners = store.documents_of(User, (token.owner_id for token in page), "username")
        for token in page:
            token.shown_owner = owners.get(token.owner_id, {}).get("username", "")

    @admin.display(description="Owner")
    def owner(self, obj: Any) -> str:
        if not hasattr(obj, "shown_owner"):
            self.prefetch([obj])
        return str(obj.shown_owner)

    @admin.display(description="Last used", ordering="last_used_at")
    def used(self, obj: Token) -> SafeString:
        return age(obj.last_used_at)

    @admin.display(description="Expires", ordering="expires_at")
    def ends(self, obj: Token) -> SafeString:
        return age(obj.expires_at)

    def get_queryset(self, request: HttpRequest) -> Any:
        user: Any = request.user
        found = super().get_queryset(request)
        return found if user.has_perm("auth.change_user") else found.filter(owner_id=user.pk)

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        user: Any = request.user
        token: Any = super().get_object(request, object_id, from_field)
        is_seen = token and (user.has_perm("auth.change_user") or token.owner_id == user.pk)
        return token if is_seen else None

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kw: Any
    ) -> Any:
        form = super().get_form(request, obj, change, **kw)
        user: Any = request.user
        if obj is None and "role" in form.base_fields:
            may = [pair for pair in ROLE_CHOICES if ROLES[pair[0]] <= role_of(user)]
            form.base_fields["role"].choices = may
        return form

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.owner_id = request.user.pk
        obj.expires_at = obj.expires_at or tokens.default_end()
        text = tokens.issue(obj)
        shown = format_html("The token, shown this once: <code>{}</code>", text)
        messages.success(request, shown)
