"""The roles of users: Django's groups of these names; a superuser is an admin.

Two look-ups by index, and no join: the store has none that is quick.
"""

from collections.abc import Iterable
from typing import Any

from bson import ObjectId
from django.contrib.auth.models import Group, User

from common.api.roles import ROLES, Role
from common.documents import store

Member: Any = User.groups.through


def role_of(user: Any) -> Role:
    """Return the role of one of Django's users; EVERYONE for who has none, or is not active."""
    if not user.is_active:
        return Role.EVERYONE
    if user.is_superuser:
        return Role.ADMIN
    if not hasattr(user, "role_in_groups"):
        user.role_in_groups = roles_in_groups([user.pk]).get(user.pk, Role.EVERYONE)
    role: Role = user.role_in_groups
    return role


def roles_in_groups(users: Iterable[ObjectId]) -> dict[ObjectId, Role]:
    """Return the highest role of each of these users who is in a group of one."""
    found: dict[ObjectId, Role] = {}
    groups = {one.pk: ROLES[one.name] for one in Group.objects.filter(name__in=ROLES)}
    members = Member.objects.filter(user_id__in=list(users), group_id__in=list(groups))
    for user, group in members.values_list("user_id", "group_id"):
        found[user] = max(groups[group], found.get(user, Role.EVERYONE))
    return found


def set_role(user: ObjectId, role: Role) -> None:
    """Have a user be in the group of `role`, and in that of no other; in the open transaction."""
    members, session = store.collection(Member), store.mongodb.session
    groups = {one["name"]: one["_id"] for one in store.find(Group, {"name": {"$in": [*ROLES]}})}
    wanted = groups.pop(role.word, None)
    members.delete_many(
        {"user_id": user, "group_id": {"$in": list(groups.values())}}, session=session
    )
    if role and wanted is None:
        made = store.collection(Group).insert_one({"name": role.word}, session=session)
        wanted = made.inserted_id
    if wanted and not store.find_one(Member, {"user_id": user, "group_id": wanted}):
        members.insert_one({"user_id": user, "group_id": wanted}, session=session)


def other_admins(user: ObjectId) -> bool:
    """Tell whether somebody but this user is an active admin."""
    group = Group.objects.filter(name=Role.ADMIN.word).first()
    members = Member.objects.filter(group_id=group.pk) if group else Member.objects.none()
    active = User.objects.filter(is_active=True).exclude(pk=user)
    if active.filter(is_superuser=True).exists():
        return True
    return active.filter(pk__in=list(members.values_list("user_id", flat=True))).exists()
