import pytest

from c2lst.data.collections.sources import find_source
from c2lst.data.collections.sources.hub import HubName, _stored_bytes
from c2lst.errors import InputError
from miniatures.patches import patch_bytes

datasets = pytest.importorskip("datasets")

CARD = """---
license: cc-by-4.0
configs:
- config_name: default
  data_files:
  - {split: train, path: train.parquet}
  - {split: test, path: test.parquet}
---
"""


@pytest.fixture
def data_set(tmp_path):
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "label": datasets.ClassLabel(names=["fat", "mucus"]),
            "slide_id": datasets.Value("string"),
            "unread": datasets.Value("string"),
        }
    )
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    for split, seeds in {"train": range(3), "test": range(3, 5)}.items():
        columns = {
            "picture": [{"bytes": patch_bytes(seed), "path": None} for seed in seeds],
            "label": [seed % 2 for seed in seeds],
            "slide_id": [f"slide-{seed}" for seed in seeds],
            "unread": ["x" for _ in seeds],
        }
        table = datasets.Dataset.from_dict(columns, features=features)
        table.to_parquet(folder / f"{split}.parquet")
    return folder


def test_a_data_set_is_streamed_with_the_bytes_that_it_stores(data_set):
    source = find_source(f"hf:{data_set}", mpp=0.5)
    patches = list(source)
    assert source.licence == "cc-by-4.0"
    assert [patch.name for patch in patches][2:4] == ["train/00000002", "test/00000000"]
    for seed, patch in enumerate(patches):
        assert patch.image == patch_bytes(seed) and patch.mpp == 0.5
        assert (patch.label, patch.slide) == (["fat", "mucus"][seed % 2], f"slide-{seed}")
        assert patch.split == ("train" if seed < 3 else "val")


def test_the_number_of_no_class_is_no_class(data_set):
    rows = datasets.Dataset.from_parquet(str(data_set / "test.parquet"))
    features = rows.features
    rows.map(lambda row: {"label": -1}, features=features).to_parquet(data_set / "test.parquet")
    assert {p.label for p in find_source(f"hf:{data_set}::test")} == {None}


def test_one_split_of_one_configuration_can_be_named(data_set):
    patches = list(find_source(f"hf:{data_set}:default:test"))
    assert [patch.name for patch in patches] == ["test/00000000", "test/00000001"]


def test_a_split_that_is_not_there_is_said(data_set):
    with pytest.raises(InputError, match="cannot be read"):
        list(find_source(f"hf:{data_set}:default:other"))


def test_a_data_set_without_images_is_said(data_set):
    for path in data_set.glob("*.parquet"):
        datasets.Dataset.from_dict({"text": ["x"]}).to_parquet(path)
    with pytest.raises(InputError, match="has no image column, found text"):
        list(find_source(f"hf:{data_set}"))


def test_images_in_files_beside_the_table_are_read(tmp_path):
    for seed, name in enumerate(("fat/a.png", "mucus/b.png")):
        (tmp_path / "train" / name).parent.mkdir(parents=True)
        (tmp_path / "train" / name).write_bytes(patch_bytes(seed))
    patches = list(find_source(f"hf:{tmp_path}"))
    assert [(p.label, p.image) for p in patches] == [
        ("fat", patch_bytes(0)), ("mucus", patch_bytes(1)),
    ]  # fmt: skip


@pytest.mark.parametrize("offline", [ConnectionError("no route"), OSError("offline"), ValueError()])
def test_without_a_network_one_line_says_so(monkeypatch, offline):
    def load(*_, **__):
        raise offline

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr("huggingface_hub.DatasetCard.load", load)
    source = find_source("hf:owner/name")
    for ask in (lambda: list(source), lambda: source.licence):
        with pytest.raises(InputError, match=r"hf:owner/name: .*huggingface.co/datasets/owner"):
            ask()


def test_a_connection_lost_on_the_way_is_said(data_set, monkeypatch):
    def rows(self):
        yield {"picture": {"bytes": patch_bytes(0), "path": None}, "label": 0}
        raise ConnectionError("reset")

    monkeypatch.setattr(datasets.IterableDataset, "__iter__", rows)
    patches = iter(find_source(f"hf:{data_set}"))
    assert next(patches).label == "fat"
    with pytest.raises(InputError, match="cannot be read \\(reset\\)"):
        next(patches)


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr("c2lst.data.collections.sources.hub.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'c2lst\[hub\]'"):
        find_source("hf:owner/name")


@pytest.mark.parametrize(
    "name", ["hf:", "hf:name", "hf:a/b/c", "hf:a/b:c:d:e", "hf:a/ b", "hf:../x9"]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InputError, match="is no data set's name"):
        find_source(name)


def test_names_are_read_and_written_the_same():
    for name in ("hf:a/b", "hf:a/b:c", "hf:a/b:c:train", "hf:a/b::train"):
        assert str(HubName.of(name)) == name
    assert HubName.of("hf:a/b::train") == HubName("a/b", None, "train")


@pytest.mark.parametrize("stored", [None, {}, {"bytes": None, "path": None}, {"bytes": b""}])
def test_a_row_without_an_image_may_be_left_out(stored):
    found = _stored_bytes(stored, "hf:a/b, train row 3")
    assert isinstance(found, InputError)
    assert str(found) == "hf:a/b, train row 3: has no image; leave it out with --skip-unreadable"
