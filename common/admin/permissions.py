"""What a person at the admin may do."""

from typing import Any

from django.http import HttpRequest


def may(request: HttpRequest, permission: str) -> bool:
    """Tell whether the person at the admin has a permission, such as `mappings.view_mapping`."""
    person: Any = request.user
    return bool(person.has_perm(permission))
