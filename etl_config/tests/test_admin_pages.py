"""Every page of the admin opens, of whatever model is registered."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse

from common.documents.models import Document
from common.tests.client import document

MODELS = [model for model in apps.get_models() if admin.site.is_registered(model)]
OF_NO_MODEL = ["index", "password_change", "jsi18n", "logout"]


def page(model, name):
    return f"{model._meta.app_label}_{model._meta.model_name}_{name}"


@pytest.fixture
def somebody(stored):
    """A group and a member of it, each with a permission."""
    allowed = Permission.objects.get(codename="view_mapping")
    group = Group.objects.create(name="readers")
    group.permissions.add(allowed)
    user = User.objects.create_user("somebody", password="p4ss-word")
    user.groups.add(group)
    user.user_permissions.add(allowed)
    yield {User: user.pk, Group: group.pk}
    user.delete()
    group.delete()


@pytest.fixture
def records(stored, somebody):
    documents = {
        model: document(stored, model._meta.db_table)["_id"]
        for model in MODELS
        if issubclass(model, Document)
    }
    return documents | somebody


def test_every_model_has_its_pages(operator, records):
    assert set(records) == set(MODELS)
    for model, identifier in records.items():
        opened = [operator.get(page(model, name)).status_code for name in ("changelist", "add")]
        opened += [
            operator.get(page(model, name), identifier).status_code
            for name in ("change", "delete", "history")
        ]
        assert set(opened) <= {200, 403}, (model, opened)


def test_the_lists_are_searched_and_ordered_as_their_pages_offer(operator, records):
    for model in MODELS:
        address = reverse(f"admin:{page(model, 'changelist')}")
        headers = result_headers(operator.client.get(address).context["cl"])
        orders = [header["url_primary"] for header in headers if header["sortable"]]
        assert orders, model
        for query in ("?q=a", *orders):
            assert operator.client.get(address + query).status_code == 200, (model, query)


def test_the_pages_of_no_model_open(operator, stored):
    for name in OF_NO_MODEL:
        method = operator.post if name == "logout" else operator.get
        assert method(name).status_code in (200, 302), name
    for label in {model._meta.app_label for model in MODELS}:
        assert operator.client.get(reverse("admin:app_list", args=[label])).status_code in (
            200,
            302,
        )


def test_a_group_and_a_user_are_added_and_changed(operator, somebody):
    allowed = [str(each.pk) for each in Permission.objects.filter(codename__contains="mapping")]
    assert operator.save("auth_group_add", name="editors", permissions=allowed) == {}
    group = Group.objects.get(name="editors")
    assert {str(each.pk) for each in group.permissions.all()} == set(allowed)

    assert operator.save("auth_user_change", somebody[User], groups=[str(group.pk)]) == {}
    user = User.objects.get(pk=somebody[User])
    assert [each.name for each in user.groups.all()] == ["editors"]
    assert user.has_perm("mappings.view_mapping")

    word = "an0ther-w0rd"
    changed = operator.post("auth_user_password_change", user.pk, password1=word, password2=word)
    assert changed.status_code == 302
    assert User.objects.get(pk=user.pk).check_password(word)
    assert operator.post("auth_group_delete", group.pk, post="yes").status_code == 302
    assert not Group.objects.filter(name="editors").exists()
