import dataclasses
import json
import shutil

import pytest

from c2lst.data.split import SpotSplit
from c2lst.errors import InputError
from c2lst.local.sources import Sources, open_adapter, open_spots


@pytest.fixture
def home(untrained, base, spots, tmp_path):
    """A folder with all that an adapter was made from, and the adapter."""
    home = tmp_path / "home"
    section, split, _ = spots
    section.save(home / "section")
    split.save(home / "split.json")
    base.save(home / "central")
    sources = Sources(home / "section", home / "split.json", home / "central")
    untrained.save(home / "adapter", sources=sources)
    return home


def test_an_adapter_finds_what_it_was_made_from(home, untrained):
    local = open_adapter(home / "adapter")
    section, split = open_spots(home / "adapter", local)
    assert local.hash == untrained.hash
    assert split.train_hash == local.provenance["train_hash"]
    assert section.content_hash == local.provenance["section_hash"]


def test_what_lies_beside_the_adapter_may_be_moved_with_it(home, tmp_path):
    noted = json.loads((home / "adapter" / "sources.json").read_text())
    assert noted == {"section": "../section", "split": "../split.json", "central": "../central"}
    home.rename(tmp_path / "moved")
    adapter = tmp_path / "moved" / "adapter"
    open_spots(adapter, open_adapter(adapter))


def test_what_lies_elsewhere_is_noted_by_its_whole_path(untrained, tmp_path):
    sources = Sources(tmp_path / "data" / "s", tmp_path / "split.json", "lab/breast")
    untrained.save(tmp_path / "runs" / "adapter", sources=sources)
    assert Sources.load(tmp_path / "runs" / "adapter") == sources


def test_an_option_goes_before_what_is_noted(home, tmp_path):
    for name in ("section", "central"):
        (home / name).rename(tmp_path / name)
    local = open_adapter(home / "adapter", tmp_path / "central")
    open_spots(home / "adapter", local, section=tmp_path / "section")


def remove(home, name):
    path = home / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def opened(home):
    open_spots(home / "adapter", open_adapter(home / "adapter"))


@pytest.mark.parametrize(("name", "option"), [
    ("section", "section"), ("split.json", "split"), ("central", "central"),
])  # fmt: skip
def test_a_source_that_is_gone_is_named_with_its_option(home, name, option):
    remove(home, name)
    with pytest.raises(InputError, match=rf"{name}: no such .*expected the {option}.*--{option}"):
        opened(home)


def test_an_adapter_from_elsewhere_says_what_to_give(home):
    (home / "adapter" / "sources.json").unlink()
    with pytest.raises(InputError, match=r"does not say where its central is.*--central"):
        opened(home)


def test_sources_that_are_others_are_refused(home, spots):
    section, _, _ = spots
    SpotSplit.draw(section, fraction=0.25, seed=2).save(home / "split.json")
    with pytest.raises(InputError, match="is not the split that the adapter was trained on, found"):
        opened(home)
    adata = section.adata.copy()
    adata.X = adata.X * 2
    remove(home, "section")
    dataclasses.replace(section, adata=adata).save(home / "section")
    with pytest.raises(
        InputError, match=r"not the section that the adapter was trained.*--section"
    ):
        opened(home)


@pytest.mark.parametrize("noted", [{"section": 3, "split": None, "central": None}, {"split": "x"}])
def test_a_damaged_note_is_refused(home, noted):
    (home / "adapter" / "sources.json").write_text(json.dumps(noted))
    with pytest.raises(InputError, match=r"sources\.json"):
        opened(home)
