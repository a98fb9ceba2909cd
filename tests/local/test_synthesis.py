import dataclasses
import json
import shutil
import subprocess
import sys

import anndata
import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst.cli.app import app
from c2lst.data.split import SpotSplit
from c2lst.data.synthetic import SyntheticPairs
from c2lst.errors import InputError
from c2lst.local import SynthesisSettings
from c2lst.local.profiles import Profiles
from c2lst.local.sources import Sources
from children import exit_codes, train_together
from launched import run_command, run_command_together

SETTINGS = SynthesisSettings(per_spot=2, batch_size=8, seed=5)


@pytest.fixture
def home(untrained, base, spots, tmp_path):
    """An adapter on disk, and what it was made from."""
    section, split, _ = spots
    section.save(tmp_path / "section")
    split.save(tmp_path / "split.json")
    base.save(tmp_path / "central")
    sources = Sources(tmp_path / "section", tmp_path / "split.json", tmp_path / "central")
    untrained.save(tmp_path / "adapter", sources=sources)
    return tmp_path


def command(home, *options, output="syn"):
    return [
        *("synthesize", home / "adapter", "-o", home / output, "--preset", "tiny"),
        *("--per-spot", "1", "--batch-size", "4", *options),
    ]


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def files(home, name="syn"):
    """Profiles and images that were written, by their values."""
    pairs = SyntheticPairs.load(home / name)
    return pairs.images.tobytes(), pairs.scaled.tobytes(), pairs.provenance


def test_pairs_name_their_spots_and_hold_their_profiles(untrained, spots):
    section, split, fitted = spots
    pairs = untrained.synthesize(section, split, SETTINGS)
    assert set(pairs.source_barcodes) == set(split.train) and len(pairs) == 2 * len(split.train)
    rows = section.indices_of(pairs.source_barcodes)
    np.testing.assert_allclose(pairs.scaled, fitted.expression(section)[rows], atol=1e-6)
    np.testing.assert_allclose(pairs.lognorm, fitted.lognorm(section)[rows], atol=1e-4)
    counts = section.counts[:, fitted.panel.columns(section)].toarray()[rows]
    np.testing.assert_allclose(pairs.counts, counts, atol=1e-2, rtol=1e-3)


def test_provenance_names_everything(untrained, spots):
    section, split, _ = spots
    settings = dataclasses.replace(SETTINGS, guidance_interval=[0.2, 2.0], policy="jitter")
    made = untrained.synthesize(section, split, settings).provenance
    assert made["adapter_hash"] == untrained.hash
    assert made["base_hash"] == untrained.central.hash
    assert made["train_hash"] == split.train_hash
    assert made["section_hash"] == section.content_hash
    assert made["settings"]["guidance_interval"] == (0.2, 2.0)
    assert made["profiles"]["policy"] == "jitter"
    assert {"c2lst", "section"} <= set(made)
    json.dumps(made)


def test_an_image_depends_on_its_profile_and_seed_alone(untrained, spots):
    section, split, _ = spots
    together = untrained.synthesize(section, split, SETTINGS)
    apart = untrained.synthesize(section, split, dataclasses.replace(SETTINGS, batch_size=3))
    difference = np.abs(together.images.astype(int) - apart.images.astype(int))
    assert difference.mean() < 0.5  # batches of other sizes are rounded otherwise
    some = np.array([3, 11, 20])
    drawn = untrained.draw(together.scaled[some], together.seeds[some].tolist(), SETTINGS)
    assert np.abs(drawn.astype(int) - together.images[some]).mean() < 0.5
    other = untrained.synthesize(section, split, dataclasses.replace(SETTINGS, seed=6))
    assert np.abs(other.images.astype(int) - together.images.astype(int)).mean() > 5


def test_each_sampler_draws_images_of_its_own(untrained, spots):
    scaled = spots[2].expression(spots[0])[:2]
    fast, faithful = (
        untrained.draw(scaled, [1, 2], dataclasses.replace(SETTINGS, sampler=name))
        for name in ("fast", "faithful")
    )
    assert not np.array_equal(fast, faithful)


def test_images_that_stay_on_disk_are_those_in_memory(untrained, spots, tmp_path):
    section, split, _ = spots
    held = untrained.synthesize(section, split, SETTINGS)
    kept = untrained.synthesize(section, split, SETTINGS, directory=tmp_path / "work")
    assert not isinstance(kept.images, np.ndarray)
    np.testing.assert_array_equal(np.asarray(kept.images), held.images)
    kept.save(tmp_path / "syn", "S1")
    np.testing.assert_array_equal(SyntheticPairs.load(tmp_path / "syn").images, held.images)


def test_missing_genes_count_as_the_mean(untrained, spots):
    fitted = spots[2]
    scaled = fitted.expression(spots[1].training(spots[0]))[:3]
    mean, missing = scaled.copy(), scaled.copy()
    mean[:, 4], missing[:, 4] = 0, np.nan
    sources, sizes = np.array(["a", "b", "c"]), np.ones(3)
    drawn = [
        untrained.synthesize_profiles(Profiles(values, sources, sizes), SETTINGS)
        for values in (mean, missing)
    ]
    np.testing.assert_array_equal(drawn[0].images, drawn[1].images)
    assert np.isnan(drawn[1].lognorm[:, 4]).all() and np.isnan(drawn[1].counts[:, 4]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_spot": 0}, "per_spot, found 0, expected a whole number, at least 1"),
        ({"batch_size": 0}, "batch_size, found 0"),
        ({"policy": "blend"}, "policy, found 'blend', expected real or jitter or mixup"),
        ({"mixup_by": "name"}, "mixup_by, found 'name', expected expression or space"),
        ({"sampler": "slow"}, "sampler"),
        ({"guidance": -1.0}, "guidance: scale"),
        ({"guidance_interval": [2.0, 0.2]}, "guidance: interval"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(SETTINGS, **change)


def test_another_split_is_refused(untrained, spots):
    other = SpotSplit.draw(spots[0], fraction=0.25, seed=2)
    with pytest.raises(InputError, match="training spots are not those that the adapter"):
        untrained.synthesize(spots[0], other, SETTINGS)


def test_another_request_into_the_same_folder_is_refused(untrained, make_local, spots, tmp_path):
    untrained.synthesize(*spots[:2], SETTINGS, directory=tmp_path)
    for model, change, key in (
        (untrained, {"seed": 6}, "seed"),
        (untrained, {"guidance": 2.0}, "guidance"),
        (untrained, {"guidance_interval": (0.2, 2.0)}, "guidance interval"),
        (untrained, {"policy": "jitter"}, "profiles"),
        (make_local(4), {}, "adapter"),
    ):
        settings = dataclasses.replace(SETTINGS, **change)
        with pytest.raises(InputError, match=f"another request, which differs in '{key}'"):
            model.synthesize(*spots[:2], settings, directory=tmp_path)
    # The batch size changes no image, and is another where memory was too small.
    smaller = dataclasses.replace(SETTINGS, batch_size=4)
    untrained.synthesize(*spots[:2], smaller, directory=tmp_path)


def test_the_command_needs_no_more_than_the_adapter(home):
    result = call(*command(home, "--policy", "mixup", "--mixup-by", "space"))
    assert result.exit_code == 0
    pairs = SyntheticPairs.load(home / "syn")
    assert len(pairs) == 18 and all("+" in source for source in pairs.source_barcodes)
    table = anndata.read_h5ad(home / "syn/st/S1_synthetic.h5ad")
    assert set(table.layers) == {"scaled", "counts"}
    assert not list(home.glob(".syn*"))
    with pytest.raises(InputError, match="holds synthetic pairs of S1 already"):
        call(*command(home))


def test_the_command_draws_for_the_profiles_of_a_file(home, spots):
    section, split, _ = spots
    counts = split.training(section).adata[:3].to_df().astype(int)
    (counts + 1).to_csv(home / "mine.csv")
    given = ["--profiles", home / "mine.csv", "--guidance-interval", "0.2", "2"]
    call(*command(home, *given, "--sampler", "faithful"))
    pairs = SyntheticPairs.load(home / "syn")
    assert pairs.source_barcodes.tolist() == counts.index.tolist()
    assert pairs.provenance["profiles"]["file"] == "mine.csv"
    assert pairs.provenance["settings"]["guidance_interval"] == [0.2, 2.0]
    assert pairs.sampler == "faithful"
    split.part(section, "test").adata[:1].to_df().astype(int).to_csv(home / "mine.csv")
    with pytest.raises(InputError, match="has the barcode of a spot outside the training spots"):
        call(*command(home, *given, output="other"))
    with pytest.raises(InputError, match="--policy is of training spots"):
        call(*command(home, *given, "--policy", "jitter", output="other"))
    (home / "adapter" / "sources.json").unlink()
    result = call(*command(home, *given, "--central", home / "central", output="other"))
    assert "no spot outside training is refused" in " ".join(result.output.split())


def test_a_folder_with_something_else_is_left_alone(home):
    (home / "syn").mkdir()
    (home / "syn" / "thesis.txt").touch()
    with pytest.raises(InputError, match="holds something else"):
        call(*command(home))


def test_a_killed_synthesis_resumes_to_the_identical_output(home):
    """By one process and by two."""
    assert call(*command(home, output="whole")).exit_code == 0
    assert exit_codes([(run_command, command(home), 1)]) == [-9]
    work = home / ".syn.work"
    assert len(list(work.glob("images-*"))) == 1 and not (home / "syn").exists()
    shutil.copytree(work, home / ".shared.work")
    # Four of five batches are left, of which each of two processes has two.
    calls = [(run_command, command(home), 4)]
    assert exit_codes(calls) == [0] and files(home) == files(home, "whole")
    shared = command(home, output="shared")
    assert train_together(run_command_together, 2, shared, 2) == [0, 0]
    assert files(home, "shared") == files(home, "whole")
    assert not work.exists() and not (home / ".shared.work").exists()


def test_memory_holds_a_batch_and_not_the_images(untrained, spots, tmp_path, monkeypatch):
    """Of images that stay on disk, none but one batch's is ever read at a time."""
    from c2lst.local import batches

    pairs = untrained.synthesize(*spots[:2], SETTINGS, directory=tmp_path / "work")
    read, original = [], batches._read

    def noting(path, name):
        found = original(path, name)
        read.append(len(found) if name == "images" else 0)
        return found

    monkeypatch.setattr(batches, "_read", noting)
    monkeypatch.setattr(batches.ImageStore, "__getitem__", None)
    pairs.save(tmp_path / "syn", "S1")
    assert max(read) == SETTINGS.batch_size and sum(read) == len(pairs)


def test_the_module_can_be_launched(home):
    arguments = [sys.executable, "-m", "c2lst", *map(str, command(home, "--seed", "x"))]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [(("--mixup-by", "space"), "--mixup-by"), (("--allow-missing",), "--allow-missing")],
)
def test_options_that_would_do_nothing_are_refused(home, options, named):
    with pytest.raises(InputError, match=named):
        call(*command(home, *options))
    assert not (home / "syn").exists()
