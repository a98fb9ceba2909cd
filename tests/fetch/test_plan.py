import hashlib
import json
import socket

import pytest

from c2lst.data.readers import read
from c2lst.errors import InputError
from c2lst.fetch import load_registry, plan_fetch, registry


def test_terms_are_accepted_before_anything_is_asked_for(home, tmp_path):
    plan = plan_fetch("her2st/C2")
    with pytest.raises(InputError, match=r"terms are not accepted .*--accept-licence"):
        plan.download(tmp_path / "out", accept_licence=False)
    assert home.asked == [] and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["her2st/C2", "her2st/C3", "hest/TENX1", "spider/skin"])
def test_offline_is_one_plain_line(home, tmp_path, monkeypatch, name):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    text = registry.REGISTRY.read_text().replace(home.address, nowhere)
    registry.REGISTRY.write_text(text)
    with pytest.raises(InputError, match="cannot be reached") as caught:
        plan_fetch(name).download(tmp_path / "out", accept_licence=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


BAD = {
    "nothing": "expected one of her2st, mob, hest, spider",
    "her2st/Z9": "names no part of the data set, expected her2st/ and one of A1, A2",
    "hest": "names no sample, expected such as hest/TENX95",
    "hest/../x": "names no sample",
    "hest/*": "names no sample",
    "spider": "names no part of the data set, expected spider/ and one of breast",
    "": "is nothing that can be fetched",
}


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_stands_for_nothing_lists_what_there_is(name):
    with pytest.raises(InputError) as caught:
        plan_fetch(name)
    assert BAD[name] in str(caught.value)


def test_the_registry_is_complete_and_pinned():
    entries = load_registry()
    assert list(entries) == ["her2st", "mob", "hest", "spider"]
    assert len(entries["her2st"].parts) == 36
    for entry in entries.values():
        assert entry.licence and entry.cite and entry.home.startswith("https://")
        assert (entry.web is None) != (entry.hub is None)
        if entry.web:
            commit = entry.web["files"].rstrip("/").rpartition("/")[2]
            assert len(commit) == 40 and commit in entry.web["tree"]
            for recorded in entry.web["recorded"].values():
                assert len(recorded["sha256"]) == 64 and recorded["bytes"] > 0


@pytest.mark.parametrize("name", ["her2st", "mob"])
def test_recorded_checksums_are_those_of_the_real_files(real_data, name):
    entry = load_registry()[name]
    parts = [part for part in entry.parts if f"{part}.jpg" in entry.web["recorded"]]
    for part in parts:
        for file in plan_fetch(f"{name}/{part}").files:
            file.check(real_data / name / file.name)


def test_what_was_fetched_is_ingested(home, tmp_path, small_legacy):
    contents = {
        "jpg": (small_legacy / "S1.png").read_bytes(),
        "tsv.gz": (small_legacy / "S1.tsv.gz").read_bytes(),
        "tsv": (small_legacy / "S1_selection.tsv").read_bytes(),
    }
    entries = json.loads(registry.REGISTRY.read_text())
    for name, recorded in entries["her2st"]["web"]["recorded"].items():
        content = contents["tsv.gz" if name.endswith(".gz") else name.rpartition(".")[2]]
        home.files[f"/raw/{recorded['path']}"] = content
        recorded |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    registry.REGISTRY.write_text(json.dumps(entries))
    folder = plan_fetch("her2st/C2").download(tmp_path / "out", accept_licence=True)
    assert len(read(folder, size=32)) == 72
