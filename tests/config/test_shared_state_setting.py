"""CHAMSAE_SHARED_STATE: which addresses are taken, and what the error of the others says."""

import pytest

from config import env, services


def test_without_an_address_there_is_no_storage():
    assert services.shared_state("", "") == {}


def test_a_folder():
    (made,) = services.shared_state("file:///mnt/site", "").values()
    assert made["BACKEND"] == "django.core.files.storage.FileSystemStorage"
    assert made["OPTIONS"] == {"location": "/mnt/site", "allow_overwrite": True}


@pytest.mark.parametrize("address", ["/mnt/site", "file://mnt/site", "s3://", "s3:///x", "gs://bucket", "bucket"])
def test_others_are_refused_by_the_name_of_the_variable(monkeypatch, address):
    monkeypatch.setenv("CHAMSAE_SHARED_STATE", address)
    monkeypatch.setenv("CHAMSAE_SECRET_KEY", "k" * 40)
    with pytest.raises(env.BadSetting, match=r"CHAMSAE_SHARED_STATE.*s3://BUCKET/PREFIX or file:///FOLDER"):
        env.shared_state("CHAMSAE_SHARED_STATE", "")


def test_hosts_that_share_state_need_one_secret(monkeypatch):
    monkeypatch.setenv("CHAMSAE_SHARED_STATE", "file:///mnt/site")
    monkeypatch.delenv("CHAMSAE_SECRET_KEY", raising=False)
    with pytest.raises(env.BadSetting, match="CHAMSAE_SECRET_KEY"):
        env.shared_state("CHAMSAE_SHARED_STATE", "")
    monkeypatch.setenv("CHAMSAE_SECRET_KEY", "k" * 40)
    assert env.shared_state("CHAMSAE_SHARED_STATE", "")


def test_a_bucket_without_the_library_says_what_to_install(monkeypatch):
    monkeypatch.setattr(services, "find_spec", lambda name: None)
    with pytest.raises(services.BadAddress, match=r"pip install 'chamsae\[s3\]'"):
        services.shared_state("s3://sparrows/site", "")


def test_a_bucket_and_an_endpoint():
    pytest.importorskip("storages", reason="django-storages is not installed (the extra s3)")
    (made,) = services.shared_state("s3://sparrows/a/b/", "http://minio:9000").values()
    options = made["OPTIONS"]
    assert (options["bucket_name"], options["location"]) == ("sparrows", "a/b")
    assert options["endpoint_url"] == "http://minio:9000"
    assert options["client_config"].s3 == {"addressing_style": "path"}
    (amazons,) = services.shared_state("s3://sparrows", "").values()
    assert amazons["OPTIONS"]["endpoint_url"] is None
    assert amazons["OPTIONS"]["client_config"].s3 is None
