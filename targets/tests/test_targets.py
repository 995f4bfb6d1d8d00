import json

import pytest
from bson import ObjectId
from cryptography.fernet import Fernet
from django.core.management import call_command

from common.tests.client import column, made, mapping_body

KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "nobody-may-see-this"}


@pytest.fixture
def lake(settings, tmp_path):
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


def delta(**changes):
    return {
        "name": "lake",
        "kind": "delta",
        "uri": "s3://bucket/lake",
        "credentials": KEYS,
    } | changes


def database(api, **changes):
    connection = made(api, "connections", db_type="postgresql", name="warehouse")
    return {"name": "db", "kind": "postgresql", "connection_id": connection["id"]} | changes


def test_credentials_are_kept_and_never_shown(api, stored, settings):
    answer = api.post("targets", delta())
    assert answer.status == 201, answer.body
    record = answer.json()
    assert record["credential_keys"] == sorted(KEYS)
    assert "credentials" not in record
    assert (record["connection_id"], record["db_schema"]) == (None, None)
    document = stored.targets.find_one()
    plain = Fernet(settings.ENCRYPTION_KEY).decrypt(document["credentials"]).decode()
    assert KEYS["AWS_SECRET_ACCESS_KEY"] in plain
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in answer.body.decode()


@pytest.mark.parametrize("change", [{}, {"credentials": ""}])
def test_left_out_or_empty_credentials_are_kept(api, stored, change):
    record = api.create("targets", delta())
    before = stored.targets.find_one()["credentials"]
    assert api.patch(f"targets/{record['id']}", {"name": "x"} | change).status == 200
    assert stored.targets.find_one()["credentials"] == before


@pytest.mark.parametrize("gone", [None, {}])
def test_null_or_an_empty_object_removes_them(api, lake, gone):
    record = api.create("targets", delta(uri=str(lake / "a")))
    answer = api.patch(f"targets/{record['id']}", {"credentials": gone})
    assert answer.json()["credential_keys"] == []


@pytest.mark.parametrize("wrong", [5, [], "x", {"A": 1}, {"A": None}, True])
def test_credentials_are_texts_by_name(api, wrong):
    assert "credentials" in api.post("targets", delta(credentials=wrong)).errors


def test_stored_credentials_never_travel(api):
    path = f"targets/{api.create('targets', delta())['id']}"
    moved = {"uri": "s3://elsewhere/lake"}
    assert api.patch(path, moved).codes == {"credentials": "password_required"}
    assert api.patch(path, moved | {"credentials": ""}).codes["credentials"] == "password_required"
    assert api.patch(path, moved | {"credentials": {"AWS_REGION": "x"}}).status == 200


@pytest.mark.parametrize("uri", ["s3://bucket", "gs://bucket/a", "az://box/a"])
def test_a_bucket_needs_credentials(api, settings, uri):
    assert api.post("targets", delta(uri=uri, credentials=None)).codes == {
        "credentials": "required"
    }
    settings.LAKE_AMBIENT_CREDENTIALS = True
    assert api.post("targets", delta(uri=uri, credentials=None)).status == 201


@pytest.mark.parametrize(
    "uri",
    [
        "relative/path", "/etc", "/", "file://host/x", "file:///etc", "s3://me@bucket/x", "s3://",
        "s3://bucket/x?y", "s3://bucket/#x", "ftp://host/x", "s3://bucket/../x", "C:\\x",
    ],
)  # fmt: skip
def test_what_is_no_place_for_a_lake(api, lake, uri):
    assert "uri" in api.post("targets", delta(uri=uri)).errors


def test_a_path_lies_below_the_services_folders(api, lake, settings, tmp_path):
    (lake / "in").mkdir(parents=True)
    (lake / "out").symlink_to("/etc")
    places = (lake / "a", f"file://{lake}/a", lake / "in" / ".." / "b")
    for number, inside in enumerate(places):
        body = delta(name=f"lake {number}", uri=str(inside))
        assert api.post("targets", body).status == 201
    for outside in (lake / "out" / "x", lake / ".." / "x", f"file://{lake}/%2e%2e/x", lake):
        assert "uri" in api.post("targets", delta(name="o", uri=str(outside))).errors
    settings.LAKE_DIRS = [str(tmp_path / "more")]
    assert api.post("targets", delta(name="m", uri=str(tmp_path / "more" / "x"))).status == 201


def test_a_database_has_a_connection_and_a_schema(api):
    record = api.create("targets", database(api))
    assert (record["db_schema"], record["uri"], record["credential_keys"]) == ("public", None, [])
    answer = api.post("targets", {"name": "x", "kind": "mysql"})
    assert answer.codes == {"connection_id": "required"}
    body = {"name": "x", "kind": "mysql", "connection_id": record["connection_id"]}
    assert api.post("targets", body).codes == {"connection_id": "wrong_kind"}
    body |= {"kind": "postgresql", "uri": "/x", "credentials": {"A": "b"}}
    assert api.post("targets", body).errors.keys() >= {"uri", "credentials"}


def test_a_new_kind_drops_what_the_old_one_had(api, stored):
    path = f"targets/{api.create('targets', delta())['id']}"
    record = api.get(path).json()
    new = database(api)
    answer = api.put(path, record | {"kind": "postgresql", "connection_id": new["connection_id"]})
    assert answer.status == 200, answer.body
    assert (answer.json()["uri"], answer.json()["credential_keys"]) == (None, [])
    assert stored.targets.find_one()["credentials"] is None


def test_what_is_used_stays(api):
    target = api.create("targets", database(api))
    connection = f"connections/{target['connection_id']}"
    assert (api.delete(connection).status, api.delete(connection).code) == (409, "in_use")
    moved = {"db_type": "mysql", "password": "x"}
    assert (api.patch(connection, moved).status, api.patch(connection, moved).code) == (
        409,
        "in_use",
    )
    mapping = api.create("mappings", mapping_body(api, target_id=target["id"]))
    refused = api.delete(f"targets/{target['id']}")
    assert (refused.status, refused.code) == (409, "in_use")
    assert mapping["name"] in refused.detail
    api.delete(f"mappings/{mapping['id']}")
    assert api.delete(f"targets/{target['id']}").status == 204
    assert api.patch(connection, moved).status == 200


# --- The default ----------------------------------------------------------------------------------


def test_there_is_one_without_any(api, lake):
    answer = api.get("targets/default")
    record = answer.json()
    assert (record["id"], record["_id"], record["name"]) == ("default", "default", "default")
    assert (record["kind"], record["uri"]) == ("delta", str(lake / "lake"))
    assert (record["created_at"], record["updated_at"]) == (None, None)
    assert "etag" not in answer.headers
    assert api.get("targets").json() == [record]


def test_it_is_listed_last_counted_and_filtered(api):
    for name in ("a", "b"):
        api.create("targets", delta(name=name))
    for query, names in {
        "": ["b", "a", "default"],
        "?ordering=name": ["a", "b", "default"],
        "?limit=2": ["b", "a"],
        "?limit=2&offset=2": ["default"],
        "?limit=3": ["b", "a", "default"],
        "?offset=3": [],
        "?name=default": ["default"],
        "?kind=delta": ["b", "a", "default"],
        "?kind=mysql": [],
        "?search=EFAU": ["default"],
    }.items():
        assert api.names(f"targets{query}") == names, query
    answer = api.get("targets?limit=2")
    assert answer.headers["x-total-count"] == "3"
    assert 'rel="next"' in answer.headers["link"]


def test_it_is_read_only_and_its_name_is_taken(api):
    for answer in (
        api.put("targets/default", {}),
        api.patch("targets/default", {"name": "x"}),
        api.delete("targets/default"),
    ):
        assert (answer.status, answer.code) == (409, "read_only")
    answer = api.post("targets", delta(name=" default "))
    assert (answer.status, answer.code) == (409, "duplicate_name")
    assert api.create("mappings", mapping_body(api, target_id="default"))["target_id"] is None


# --- Tests of targets -----------------------------------------------------------------------------


def test_a_folder_is_tried_and_nothing_stays(api, lake):
    body = {"kind": "delta", "uri": str(lake / "mine")}
    answer = api.post("targets/test", body)
    assert answer.status == 200, answer.body
    assert answer.json()["success"] is True, answer.json()
    assert answer.json()["details"]["db_type"] == "delta"
    path = f"targets/{api.create('targets', body | {'name': 'mine'})['id']}"
    before = api.get(path)
    assert api.post(f"{path}/test").json()["success"] is True
    after = api.get(path)
    assert after.json()["last_test_status"] == "success"
    assert after.json()["updated_at"] == before.json()["updated_at"]
    assert api.patch(path, {"name": "x"}, If_Match=before.etag).status == 200
    assert api.post(f"{path}/test", {"uri": "/x"}).status == 400
    assert api.post("targets/default/test").json()["success"] is True


def test_where_no_folder_can_be(api, lake):
    lake.mkdir()
    (lake / "file").write_text("x")
    path = f"targets/{api.create('targets', delta(uri=str(lake / 'file'), credentials=None))['id']}"
    result = api.post(f"{path}/test").json()
    assert (result["success"], result["details"]["error_code"]) == (False, "not_a_folder")
    assert api.get(path).json()["last_test_error_code"] == "not_a_folder"


def test_an_endpoint_in_a_denied_network_is_not_dialled(api):
    keys = KEYS | {"AWS_ENDPOINT_URL": "http://169.254.169.254"}
    result = api.post("targets/test", delta(credentials=keys)).json()
    assert result["details"]["error_code"] == "host_not_allowed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_ENDPOINT", "169.254.169.254"),
        ("endpoint_url", "http://[::ffff:169.254.169.254]:80"),
        ("AWS_ENDPOINT_URL_S3", "http://169.254.169.254/x"),
        ("AZURE_AUTHORITY_HOST", "http://169.254.169.254"),
        ("google_base_url", "http://169.254.169.254"),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", '{"gcs_base_url": "http://169.254.169.254"}'),
    ],
)
def test_whatever_names_a_host_is_held_to_the_networks(api, name, value):
    result = api.post("targets/test", delta(credentials=KEYS | {name: value})).json()
    assert result["details"]["error_code"] == "host_not_allowed"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proxy_url", "http://169.254.169.254"),
        ("AWS_METADATA_ENDPOINT", "http://10.0.0.1"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://10.0.0.1"),
        ("AWS_ENDPOINT_URL_STS", "http://10.0.0.1"),
        ("AWS_S3_LOCKING_PROVIDER", "dynamodb"),
        ("AWS_CONDITIONAL_PUT", "dynamo:locks"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/etc/passwd"),
        ("AWS_REGION", "x.example.com/"),
        ("AZURE_MSI_ENDPOINT", "http://10.0.0.1"),
        ("AZURE_STORAGE_ACCOUNT_NAME", "a.example.com/"),
        ("azure_use_azure_cli", "true"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/etc/key.json"),
        ("GOOGLE_SERVICE_ACCOUNT_KEY", '{"type": "external_account"}'),
        ("whatever", "x"),
    ],
)
def test_options_that_lead_elsewhere_are_refused(api, stored, name, value):
    answer = api.post("targets", delta(credentials=KEYS | {name: value}))
    assert (answer.status, answer.codes) == (400, {"credentials": "unknown_option"})
    assert name in answer.messages["credentials"]
    assert stored.targets.count_documents({}) == 0


def test_a_stored_option_that_is_known_no_more_is_not_handed_on(api, stored, settings):
    record = api.create("targets", delta())
    text = json.dumps(KEYS | {"proxy_url": "http://127.0.0.1:9"})
    token = Fernet(settings.ENCRYPTION_KEY).encrypt(text.encode()).decode()
    stored.targets.update_one({}, {"$set": {"credentials": token}})
    result = api.post(f"targets/{record['id']}/test").json()
    assert result["success"] is False
    assert "proxy_url" in str(result)


def test_an_unknown_one_is_404(api):
    assert api.get(f"targets/{ObjectId()}").status == 404
    assert api.post(f"targets/{ObjectId()}/test").status == 404


def test_rows_of_no_table_yet(api, lake):
    schema = made(api, "schemas", columns=[column("id", "integer")])
    mapping = api.create("mappings", mapping_body(api, target_schema_id=schema["id"]))
    path = f"mappings/{mapping['id']}/rows"
    answer = api.get(path)
    assert answer.status == 200, answer.body
    assert answer.json()["columns"][0] == "id"
    assert (answer.json()["rows"], answer.json()["row_count"]) == ([], 0)
    for query in ("limit=0", "limit=1001", "offset=-1", "run_id=x", "nonsense=1"):
        assert api.get(f"{path}?{query}").status == 400, query


def test_targets_are_exported_and_come_back(api, stored, monkeypatch, tmp_path):
    target = api.create("targets", delta())
    body = mapping_body(api, target_id=target["id"], max_rejected=None, target_table="mine")
    mapping = api.create("mappings", body)
    file = tmp_path / "config.yaml"
    call_command("export_config", "--output", str(file))
    text = file.read_text()
    assert "target: lake" in text
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in text
    api.delete(f"mappings/{mapping['id']}")
    api.delete(f"targets/{target['id']}")
    monkeypatch.setenv("ETL_SECRET_LAKE_CREDENTIALS", json.dumps(KEYS, sort_keys=True))
    call_command("import_config", str(file))
    (found,) = api.get("mappings").json()
    assert (found["max_rejected"], found["target_table"]) == (None, "mine")
    assert api.get(f"targets/{found['target_id']}").json()["credential_keys"] == sorted(KEYS)


def test_keys_are_rotated(api, stored, settings):
    api.create("targets", delta())
    settings.ENCRYPTION_KEYS_RETIRED = [settings.ENCRYPTION_KEY]
    settings.ENCRYPTION_KEY = Fernet.generate_key().decode()
    call_command("rotate_encryption_key")
    token = stored.targets.find_one()["credentials"]
    assert json.loads(Fernet(settings.ENCRYPTION_KEY).decrypt(token)) == KEYS


def test_the_audit_tells_of_credentials_without_them(api, stored):
    entry = api.create("targets", delta())
    changes = stored.audit.find_one({"kind": "targets"})["changes"]
    assert changes["credentials"] == "changed"
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in str(changes)
    assert api.get("mappings?target_id=default").json() == []
    assert entry["credential_keys"] == sorted(KEYS)
