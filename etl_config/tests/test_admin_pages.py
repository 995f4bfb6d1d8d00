"""Every page of the admin opens, of whatever model is registered."""

import re

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.templatetags.admin_list import result_headers
from django.contrib.auth.models import Group, User
from django.urls import reverse

from common.documents.models import Document
from common.tests.client import document
from common.tests.operator import form_fields
from mappings.models import Mapping
from runs.models import Run
from runs.queueing import queue

MODELS = [model for model in apps.get_models() if admin.site.is_registered(model)]
OF_NO_MODEL = ["index", "password_change", "jsi18n", "logout"]


def page(model, name):
    return f"{model._meta.app_label}_{model._meta.model_name}_{name}"


@pytest.fixture
def somebody(stored):
    """A role's group, and a member of it."""
    group = Group.objects.create(name="viewer")
    user = User.objects.create_user("somebody", password="p4ss-word")
    user.groups.add(group)
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
    return (
        documents
        | somebody
        | {Run: queue(Mapping.from_document(document(stored, "mappings")), trigger="manual")["_id"]}
    )


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


def test_a_user_is_added_changed_and_ended(operator, somebody):
    word = "an0ther-w0rd"
    added = {"username": "ada", "role": "editor", "password1": word, "password2": word}
    assert operator.save("auth_user_add", **added) == {}
    ada = User.objects.get(username="ada")
    assert [each.name for each in ada.groups.all()] == ["editor"]
    assert ada.check_password(word)

    assert operator.save("auth_user_change", ada.pk, role="analyst") == {}
    ada = User.objects.get(username="ada")
    assert ada.has_perm("mappings.preview_mapping")
    assert not ada.has_perm("mappings.change_mapping")

    word = "a-third-w0rd"
    changed = operator.post("auth_user_password_change", ada.pk, password1=word, password2=word)
    assert changed.status_code == 302
    assert User.objects.get(pk=ada.pk).check_password(word)
    assert operator.post("auth_user_delete", ada.pk, post="yes").status_code == 302
    assert not User.objects.filter(username="ada").exists()


def test_the_last_admin_is_not_ended_at_the_admin_either(operator):
    admin = User.objects.get(username="operator")
    refused = operator.save("auth_user_change", admin.pk, role="editor")
    assert "last admin" in str(refused)
    assert operator.post("auth_user_delete", admin.pk, post="yes").status_code == 302
    assert User.objects.filter(username="operator").exists()


def test_a_token_is_made_shown_once_and_ended(operator, stored):
    fields = form_fields(operator.html("access_token_add")) | {"name": ["ci"], "role": ["editor"]}
    answer = operator.client.post(reverse("admin:access_token_add"), fields, follow=True)
    text = re.search(r"etl_[A-Za-z0-9]{40}", answer.content.decode())[0]
    token = stored["tokens"].find_one({"name": "ci"})
    assert text.startswith(token["prefix"])
    assert text not in operator.html("access_token_change", token["_id"])
    assert operator.post("access_token_delete", token["_id"], post="yes").status_code == 302
    assert stored["tokens"].count_documents({}) == 0


def test_a_token_that_would_live_too_long_is_refused_as_by_the_api(operator, stored):
    fields = {"name": "ci", "role": "editor", "expires_at_0": "2999-01-01", "expires_at_1": "00:00"}
    errors = operator.save("access_token_add", **fields)
    assert errors == {"expires_at": ["A token lives for up to 365 days."]}
    assert stored["tokens"].count_documents({}) == 0
