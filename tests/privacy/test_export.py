import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst.cli import main
from c2lst.cli.app import app
from c2lst.data.synthetic import SyntheticPairs
from c2lst.errors import InputError
from c2lst.evaluation.encoders import RandomEncoder
from c2lst.local import LocalModel, SynthesisSettings
from c2lst.privacy import export, open_bundle
from c2lst.privacy.bundle import refuse_foreign, write_bundle
from c2lst.privacy.contents import ADAPTER_FILES, PAIRS_FILES, numbered

REASON = "Data protection officer: agreed on 3 May, for the partners of the study"
ALWAYS = {"README.md", "bundle.json", "privacy.json"}


def exported(lab, artefact, bundle, **options):
    return export(artefact, bundle, override=REASON, encoder="random", **options)


@pytest.fixture(scope="module")
def adapter_bundle(lab, tmp_path_factory):
    return exported(lab, lab.adapter, tmp_path_factory.mktemp("out") / "bundle").bundle


@pytest.fixture(scope="module")
def pairs_bundle(lab, tmp_path_factory):
    bundle = tmp_path_factory.mktemp("out") / "bundle"
    return exported(lab, lab.pairs, bundle, adapter=lab.adapter).bundle


def files_of(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def texts_of(folder):
    """Every file's bytes, and every string and name inside the HDF5 files, which are packed."""
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix().encode() + b"\n" + path.read_bytes()
        if path.suffix in (".h5", ".h5ad"):
            found = []

            def visit(name, item, found=found):
                found.extend([name, *map(str, item.attrs.items())])
                if isinstance(item, h5py.Dataset) and item.dtype.kind in "SO":
                    found.extend(np.asarray(item.asstr()[()]).ravel().tolist())

            with h5py.File(path) as file:
                file.visititems(visit)
            yield "\n".join(found).encode()


def test_a_bundle_holds_the_allow_list_alone(adapter_bundle, pairs_bundle):
    assert files_of(adapter_bundle) == ALWAYS | set(ADAPTER_FILES)
    assert files_of(pairs_bundle) == ALWAYS | set(PAIRS_FILES)


@pytest.mark.parametrize("name", ["adapter_bundle", "pairs_bundle"])
def test_no_path_no_barcode_and_no_name_leaves(lab, name, request):
    bundle = request.getfixturevalue(name)
    forbidden = [str(lab.folder), lab.folder.name, "sources.json", "/tmp", "/home"]
    forbidden += list(lab.section.barcodes)
    texts = list(texts_of(bundle))
    assert len(texts) >= 6
    for word in forbidden:
        quoted = {f'"{word}"', f"\n{word}\n", f"{word}+", f"{word}-s0", f" {word} "}
        sought = quoted if word in lab.section.barcodes else {word}
        for text in texts:
            # The manifest says in so many words that sources.json was left out.
            text = text.replace(b"paths (sources.json)", b"")
            assert not any(s.encode() in text for s in sought), (word, text[:80])
    assert f'"{lab.section.name}"'.encode() not in b"".join(texts)


def test_what_someone_adds_to_an_artefact_stays_at_home(lab, tmp_path):
    import shutil

    shutil.copytree(lab.adapter, tmp_path / "adapter")
    (tmp_path / "adapter" / "patients.csv").write_text("name")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"operator": "Jane Doe"}))
    places = {
        "section": lab.folder / "section",
        "split": lab.folder / "split.json",
        "central": lab.folder / "central",
    }
    done = exported(lab, tmp_path / "adapter", tmp_path / "bundle", **places)
    assert files_of(done.bundle) == ALWAYS | set(ADAPTER_FILES)
    assert not any(b"Jane" in text for text in texts_of(done.bundle))


def test_a_bundled_adapter_draws_the_same_images(lab, adapter_bundle):
    loaded = LocalModel.load(adapter_bundle, lab.local.central)
    settings = SynthesisSettings(per_spot=1)
    first = lab.local.synthesize(lab.section, lab.split, settings)
    second = loaded.synthesize(lab.section, lab.split, settings)
    np.testing.assert_array_equal(first.images, second.images)
    assert loaded.provenance["section"] == "withheld"


def test_bundled_pairs_are_the_same_but_for_names_and_counts(lab, pairs_bundle):
    before, after = SyntheticPairs.load(lab.pairs), SyntheticPairs.load(pairs_bundle)
    np.testing.assert_array_equal(before.images[:], after.images[:])
    np.testing.assert_array_equal(before.scaled, after.scaled)
    np.testing.assert_array_equal(before.seeds, after.seeds)
    assert after.counts is None and after.genes == before.genes
    assert after.source_barcodes[0].startswith("spot-00001+spot-")


def test_running_numbers_are_alike_for_alike_spots():
    found = numbered(np.array(["b", "a+b", "c+a", "b"]))
    assert found.tolist() == [
        "spot-00001", "spot-00002+spot-00001", "spot-00003+spot-00002", "spot-00001",
    ]  # fmt: skip


def test_an_override_stands_in_the_bundle(adapter_bundle):
    manifest = json.loads((adapter_bundle / "bundle.json").read_text())
    audit = json.loads((adapter_bundle / "privacy.json").read_text())
    card = (adapter_bundle / "README.md").read_text()
    assert manifest["verdict"] == audit["verdict"] != "pass"
    assert manifest["override"]["reason"] == REASON and REASON in card
    assert manifest["override"]["of"] and manifest["override"]["of"][0] in card
    assert {entry["what"] for entry in manifest["left_out"]} >= {"copy gallery"}


def test_the_gallery_stays_beside_the_bundle(adapter_bundle):
    (gallery,) = adapter_bundle.parent.glob("*.png")
    assert gallery.name == "bundle-gallery-stays-here.png"


def test_a_failed_audit_blocks_unless_overridden_in_writing(lab, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr("c2lst.evaluation.encoders.get_encoder", lambda name: RandomEncoder())
    real = lab.local.synthesize(lab.section, lab.split, SynthesisSettings(per_spot=1))
    real.save(tmp_path / "pairs", "S1")
    given = ["export", tmp_path / "pairs", "-o", tmp_path / "out.zip", "--adapter", lab.adapter]
    arguments = [str(argument) for argument in given]
    monkeypatch.setattr("sys.argv", ["c2lst", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2 and not (tmp_path / "out.zip").exists()
    said = capfd.readouterr().err
    assert "measured expression profiles" in said and "--override" in said
    assert (tmp_path / "out-privacy.json").is_file()
    lazy = CliRunner().invoke(app, [*arguments, "--override", "yes"])
    assert isinstance(lazy.exception, InputError)
    passed = CliRunner().invoke(app, [*arguments, "--override", REASON])
    assert passed.exit_code == 0, passed.exception
    with open_bundle(tmp_path / "out.zip") as folder:
        assert len(SyntheticPairs.load(folder)) == len(real)
        assert REASON in (folder / "README.md").read_text()


def test_a_bundle_that_was_changed_is_refused(lab, adapter_bundle, tmp_path):
    import shutil

    shutil.copytree(adapter_bundle, tmp_path / "bundle")
    with open_bundle(tmp_path / "bundle") as folder:
        assert LocalModel.load(folder, lab.local.central)
    (tmp_path / "bundle" / "README.md").write_text("all is well")
    with pytest.raises(InputError, match=r"README\.md: is not what was exported"):
        open_bundle(tmp_path / "bundle").__enter__()
    (tmp_path / "bundle" / "README.md").unlink()
    with pytest.raises(InputError, match="missing"):
        open_bundle(tmp_path / "bundle").__enter__()


def test_a_zip_is_the_same_whenever_it_is_made(tmp_path):
    def fill(folder):
        (folder / "st").mkdir()
        (folder / "st" / "a.txt").write_text("a")
        return {"kind": "adapter", "verdict": "pass"}

    for name in ("a.zip", "b.zip"):
        write_bundle(tmp_path / name, fill)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {i.date_time[0] for i in archive.infolist()} == {1980}
    with open_bundle(tmp_path / "a.zip") as folder:
        assert (folder / "st" / "a.txt").read_text() == "a"


def test_pairs_alone_are_audited_by_their_images_and_say_so(lab, tmp_path):
    places = {
        "section": lab.folder / "section",
        "split": lab.folder / "split.json",
        "central": lab.folder / "central",
    }
    done = exported(lab, lab.pairs, tmp_path / "bundle", **places)
    assert done.audit.membership == ()
    assert "was not attacked" in (done.bundle / "README.md").read_text()
    with pytest.raises(InputError, match="--section, --split and --central"):
        exported(lab, lab.pairs, tmp_path / "other")


def test_other_folders_are_not_replaced(lab, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="did not write, so it is not replaced"):
        exported(lab, lab.adapter, tmp_path)


def test_what_was_laid_deep_into_a_bundle_is_not_lost(lab, pairs_bundle, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(pairs_bundle, bundle)
    (bundle / "st" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"st/notes\.txt"):
        refuse_foreign(bundle)
    (bundle / "st" / "notes.txt").unlink()
    refuse_foreign(bundle)


def test_a_seed_below_zero_is_refused(lab, tmp_path):
    with pytest.raises(InputError, match=r"seed: .*found -1"):
        exported(lab, lab.adapter, tmp_path / "bundle", seed=-1)
