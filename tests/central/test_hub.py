from pathlib import Path

import pytest

from c2lst.central import hub
from c2lst.central.hub import is_hub_id, model_folder, upload
from c2lst.errors import InputError

huggingface_hub = pytest.importorskip("huggingface_hub")
from huggingface_hub import errors  # noqa: E402


class Response:
    status_code = 403


def failing(error):
    def call(*_, **__):
        raise error

    return call


def http(kind):
    error = kind.__new__(kind)
    Exception.__init__(error, "told")
    error.response = Response()
    return error


@pytest.mark.parametrize(
    ("where", "whether"),
    [
        ("lab/skin-central", True),
        ("lab/skin.v2", True),
        ("./lab/skin", False),
        ("/lab/skin", False),
        ("skin", False),
        ("a/b/c", False),
        ("../skin", False),
        ("lab/", False),
    ],
)
def test_what_names_a_repository(where, whether):
    assert is_hub_id(where) is whether


def test_a_path_in_a_folder_that_is_here_is_no_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    assert not is_hub_id("runs/central")
    with pytest.raises(InputError, match="no such folder"):
        model_folder("runs/central", "a central model")


def test_a_folder_is_taken_as_it_is(tmp_path):
    assert model_folder(tmp_path, "a central model") == tmp_path
    (tmp_path / "model.ckpt").write_bytes(b"x")
    with pytest.raises(InputError, match="is a file"):
        model_folder(tmp_path / "model.ckpt", "a central model")


def test_pickles_are_never_downloaded(tmp_path, monkeypatch):
    asked = {}

    def download(repository, **options):
        asked.update(options, repository=repository)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert model_folder("lab/skin", "a central model", "v1") == tmp_path
    assert (asked["repository"], asked["revision"]) == ("lab/skin", "v1")
    assert not {"*.bin", "*.pt", "*.ckpt", "*"} & set(asked["allow_patterns"])


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (errors.LocalEntryNotFoundError("x"), "cannot be reached"),
        (errors.OfflineModeIsEnabled("x"), "cannot be reached"),
        (ConnectionError("x"), "cannot be reached"),
        (http(errors.GatedRepoError), "gated"),
        (http(errors.RepositoryNotFoundError), "not there"),
        (http(errors.RevisionNotFoundError), "not there"),
        (http(errors.HfHubHTTPError), "HTTP 403"),
        (errors.HFValidationError("x"), "no valid name"),
    ],
)
def test_what_the_hub_says_is_one_line(error, named, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", failing(error))
    with pytest.raises(InputError, match=named):
        model_folder("lab/skin", "a central model")


def test_uploads_are_private_unless_told(tmp_path, monkeypatch):
    asked = []

    class Api:
        def create_repo(self, repository, **options):
            asked.append((repository, options))

        def upload_folder(self, **options):
            asked.append(options)
            return type("Commit", (), {"commit_url": "https://hub/lab/skin/commit/1"})

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    assert upload(tmp_path, "lab/skin", private=True).endswith("commit/1")
    assert asked[0] == ("lab/skin", {"private": True, "exist_ok": True})
    assert asked[1]["folder_path"] == tmp_path
    monkeypatch.setattr(Api, "create_repo", failing(errors.LocalTokenNotFoundError("x")))
    with pytest.raises(InputError, match="hf auth login"):
        upload(tmp_path, "lab/skin", private=True)


def test_the_list_of_what_is_kept_has_the_weights_and_the_card():
    assert {"*.safetensors", "*.json", "*.md"} <= set(hub.KEPT)
