"""Notifications at the admin: what is told, to whom, and a test at hand."""

from bson import ObjectId
from django.urls import reverse

from notifications.tests.conftest import end


def test_a_notification_is_made_changed_and_its_secrets_kept(api, stored, operator, mapping):
    made = {
        "name": "ops", "kind": "webhook", "url": "https://hooks.example.com/t0ken",
        "secret": "s3cret-word", "events": ["failed", "recovered"],
        "mapping_ids": [str(mapping.pk)], "enabled": "on",
    }  # fmt: skip
    empty = operator.html("notifications_notification_add")
    assert '{"url": {"env": "ETL_SECRET_CRM"}}' in empty
    assert operator.save("notifications_notification_add", **made) == {}
    document = stored.notifications.find_one()
    assert document["mapping_ids"] == [mapping.pk]
    assert document["events"] == ["failed", "recovered"]
    page = operator.html("notifications_notification_change", document["_id"])
    assert "t0ken" not in page
    assert "s3cret-word" not in page
    assert "failed, recovered, 1 mapping<" in operator.html("notifications_notification_changelist")
    change = {"mapping_ids": [], "name": "all"}
    assert operator.save("notifications_notification_change", document["_id"], **change) == {}
    after = stored.notifications.find_one()
    assert (after["mapping_ids"], after["name"]) == (None, "all")
    assert (after["url"], after["secret"]) == (document["url"], document["secret"])
    moved = {"url": "https://elsewhere.example.com/"}
    refused = operator.save("notifications_notification_change", document["_id"], **moved)
    assert list(refused) == ["secret"]


def test_a_mapping_that_is_gone_stays_chosen(api, stored, operator, notify, mapping):
    record = notify(mapping_ids=[str(mapping.pk)])
    api.delete(f"mappings/{mapping.pk}")
    saved = operator.save("notifications_notification_change", record["id"], name="renamed")
    assert saved == {}
    assert stored.notifications.find_one()["mapping_ids"] == [mapping.pk]


def test_a_test_is_sent_from_the_page_which_shows_what_was_sent(
    stored, operator, notify, receiver, mapping
):
    record = notify()
    end(mapping)
    address = reverse("admin:notifications_notification_test", args=[record["id"]])
    page = operator.client.post(address).content.decode()
    assert "Delivered." in page
    assert [message["event"] for message in receiver.messages] == ["test"]
    page = operator.html("notifications_notification_change", record["id"])
    assert mapping.name in page
    assert "The receiver answered 204." in page
    nobody = reverse("admin:notifications_notification_test", args=[str(ObjectId())])
    assert operator.client.post(nobody).status_code == 404
