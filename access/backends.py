"""What Django's own permissions are here: what the API's role may, and nothing else."""

from functools import cache
from typing import Any

from django.apps import apps
from django.contrib.auth import get_permission_codename
from django.contrib.auth.backends import ModelBackend

from access.memberships import role_of
from common.api.endpoints import role_of_permission
from common.api.roles import Role


class RoleBackend(ModelBackend):
    """Passwords as Django checks them; rights by role, whatever permissions were given one by one.

    A permission is `mappings.change_mapping`, or names an action: `mappings.preview_mapping`.
    """

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return bool(user_obj.is_active) and role_of(user_obj) >= role_of_permission(perm)

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return any(name.startswith(f"{app_label}.") for name in self.get_all_permissions(user_obj))

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        role = role_of(user_obj)
        if role is Role.EVERYONE:
            return set()
        return {name for name in _permissions() if role_of_permission(name) <= role}


@cache
def _permissions() -> frozenset[str]:
    """Return the names of all models' permissions, as the store has them after `migrate`."""
    return frozenset(
        f"{meta.app_label}.{code}"
        for meta in (model._meta for model in apps.get_models())
        for code in (
            *(get_permission_codename(action, meta) for action in meta.default_permissions),
            *(code for code, _ in meta.permissions),
        )
    )
