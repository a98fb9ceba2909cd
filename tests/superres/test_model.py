"""A model from training to a predicted section."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file

from c2lst.errors import InputError
from c2lst.superres.evaluate import KNOWN, ONE, OWN, evaluate
from c2lst.superres.lowres import LowRes
from c2lst.superres.model import SuperresModel
from c2lst.superres.pooling import pool_sum, spot_counts
from c2lst.superres.settings import Components
from c2lst.superres.tiles import Tiles
from c2lst.superres.training import train_network
from c2lst.superres.windows import Field, WindowSource
from scarce import hold_at_most

FEW = {"samples": 2, "steps": 3}


@pytest.fixture
def low(maps) -> LowRes:
    return LowRes.of_sample(maps, maps.samples[2])


def test_windows_are_cut_where_their_spots_are(maps, settings):
    source = WindowSource(maps, settings)
    batch = source.fetch(np.arange(len(source)))
    assert batch["bins"].shape[-1] == settings.hr_size == 16
    # 16 bins hold the first three spots whole.
    whole = batch["bins"][..., :15, :15].reshape(len(source), 4, 3, 5, 3, 5).sum(dim=(3, 5))
    assert torch.allclose(whole, batch["spots"][..., :3, :3])


@pytest.mark.parametrize("kind", [np.float64, np.int32])
def test_windows_are_of_one_type_whatever_counts_are(maps, settings, kind):
    samples = [replace(s, counts=s.counts.astype(kind)) for s in maps.samples]
    source = WindowSource(replace(maps, samples=tuple(samples)), settings)
    batch = source.fetch(np.arange(2))
    assert batch["bins"].dtype == batch["spots"].dtype == torch.float32


def test_an_interrupted_training_ends_like_an_uninterrupted_one(maps, settings, tmp_path, model):
    def weights(steps, directory):
        training = replace(settings.training, steps=steps, checkpoint_every=2)
        network, _ = train_network(
            maps, model.scale, replace(settings, training=training), directory=directory
        )
        return network.state_dict()

    whole = weights(4, None)

    from c2lst.superres import training as module

    class Interrupted(module.SuperresObjective):
        calls = 0

        def __call__(self, *args):
            type(self).calls += 1
            if type(self).calls > 4:  # one of them counts operations
                raise KeyboardInterrupt
            return super().__call__(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SuperresObjective", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            weights(4, tmp_path)
    assert list(tmp_path.glob("checkpoint-*"))
    resumed = weights(4, tmp_path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.parametrize("change", ["sampling", "tissue"])
def test_a_training_does_not_go_on_with_other_maps(maps, settings, tmp_path, change):
    SuperresModel.train(maps, settings, directory=tmp_path)
    first = maps.samples[0]
    tissue = first.tissue.copy()
    tissue[tuple(np.argwhere(tissue)[0])] = False  # as many windows hold tissue as before
    other = {
        "sampling": {"sampling": "discs"},
        "tissue": {"samples": (replace(first, tissue=tissue), *maps.samples[1:])},
    }[change]
    with pytest.raises(InputError, match="another maps"):
        SuperresModel.train(replace(maps, **other), settings, directory=tmp_path)


def test_a_model_takes_the_place_of_a_model_alone(model, tmp_path):
    model.save(tmp_path / "model")
    model.save(tmp_path / "model")
    (tmp_path / "model/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"found notes\.txt"):
        model.save(tmp_path / "model")
    assert (tmp_path / "model/notes.txt").read_text() == "mine"


def test_an_area_of_the_training_is_known_under_another_name(model, maps, tmp_path):
    renamed = replace(maps.samples[0], name="X", patient="PX")
    with pytest.raises(InputError, match="'X': has the counts of an area of the training"):
        evaluate(model, replace(maps, samples=(renamed,)), tmp_path / "scores", **FEW)
    assert not (tmp_path / "scores").exists()


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_drawn(
    model, maps, tmp_path, monkeypatch
):
    (tmp_path / "file").touch()
    monkeypatch.setattr(SuperresModel, "predict", lambda *_, **__: pytest.fail("was drawn"))
    with pytest.raises(InputError, match="lies in a file"):
        evaluate(model, maps, tmp_path / "file/scores", **FEW)


def test_tiles_blend_to_what_they_are_cut_from(maps, settings, model, low):
    area = Field(low, settings)
    tiles = Tiles(area, model.scale, settings, batch_size=3)
    assert len(tiles.places) > 1
    values = torch.randn(4, *area.shape)
    (blended,) = tiles.blend(lambda part, _: (part,), values)
    covered = tiles._total > 0
    assert covered[torch.from_numpy(area.tissue)].all()
    assert torch.allclose(blended[:, covered], values[:, covered], atol=1e-5)


def test_batches_of_tiles_change_no_result(model, low):
    few, many = (model.predict(low, samples=1, steps=2, batch_size=size) for size in (2, 50))
    np.testing.assert_allclose(few.mean, many.mean, rtol=1e-3, atol=1e-4)


def test_tiles_that_do_not_fit_in_memory_are_computed_fewer_at_a_time(model, low):
    expected = model.predict(low, samples=1, steps=2, batch_size=50)
    scarce = copy.deepcopy(model)
    asked = hold_at_most(scarce.network, 3)
    found = scarce.predict(low, samples=1, steps=2, batch_size=50)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-3, atol=1e-4)
    # The second step does not try again what was too much for the first.
    assert sum(size > 3 for size in asked) == len({size for size in asked if size > 3}) > 0


def test_predictions_have_units_tissue_and_the_counts_of_the_spots(model, low):
    found = model.predict(low, **FEW)
    assert found.mean.shape == (4, *low.tissue.shape) and found.bin_um == 20.0
    assert (found.mean[:, ~low.tissue] == 0).all()
    # Counts of a spot without tissue are kept, too.
    stray = low.spots.copy()
    bare = tuple(np.argwhere(pool_sum(low.tissue[None], 5)[0] == 0)[0])
    stray[:, *bare] = 5.0
    told = model.predict(replace(low, spots=stray), **FEW)
    np.testing.assert_allclose(spot_counts(told.mean, 5), stray, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(spot_counts(found.mean, 5), low.spots, rtol=1e-3, atol=1e-3)
    assert (found.sd >= 0).all() and found.sd.max() > 0
    free = model.predict(low, consistent=False, **FEW)
    assert (free.mean[:, ~low.tissue] == 0).all()
    assert not np.allclose(spot_counts(free.mean, 5), low.spots, rtol=1e-2)


@pytest.mark.parametrize("solver", ["ancestral", "dpm++"])
def test_the_seed_decides_the_map(model, low, solver):
    def draw(seed: int) -> np.ndarray:
        return model.predict(low, samples=1, steps=3, seed=seed, solver=solver).mean

    np.testing.assert_array_equal(draw(0), draw(0))
    assert not np.array_equal(draw(0), draw(1))


def test_anndata_has_the_grid_in_um_and_the_deviation(model, low):
    found = model.predict(replace(low, origin_um=(50.0, 70.0)), **FEW)
    table = found.to_anndata()
    assert table.n_obs == low.tissue.sum() and list(table.var_names) == list(low.genes)
    row, column = table.obs["array_row"].to_numpy(), table.obs["array_col"].to_numpy()
    expected = np.column_stack([50 + (column + 0.5) * 20, 70 + (row + 0.5) * 20])
    np.testing.assert_allclose(table.obsm["spatial"], expected)
    np.testing.assert_allclose(table.X[:, 1], found.mean[1, row, column], rtol=1e-6)
    np.testing.assert_allclose(table.layers["sd"][:, 1], found.sd[1, row, column], rtol=1e-5)
    assert table.uns["c2lst_superres"]["unit"] == "counts"


def test_a_finer_model_gives_coarser_bins(maps, settings):
    fine = replace(maps, lr_um=200.0)
    ten = replace(settings, scale=10, lr_size=2, crop_px=8)
    model = SuperresModel.train(fine, ten)
    low = LowRes.of_sample(fine, fine.samples[0])
    half = model.predict(low, samples=1, steps=2, scale=5)
    assert half.bin_um == 40.0 and half.mean.shape[1] == low.tissue.shape[0] // 2
    whole = model.predict(low, samples=1, steps=2)
    np.testing.assert_allclose(half.mean.sum(), whole.mean.sum(), rtol=1e-4)
    with pytest.raises(InputError, match="not one that this model gives"):
        model.predict(low, scale=4)


def test_papers_scaling_has_no_unit_but_by_the_spots(maps, settings, low):
    model = SuperresModel.train(maps, replace(settings, normalisation="paper"))
    assert model.predict(low, consistent=False, **FEW).unit == "relative"
    with_unit = model.predict(low, **FEW)
    assert with_unit.unit == "counts"
    np.testing.assert_allclose(spot_counts(with_unit.mean, 5), low.spots, rtol=1e-3, atol=1e-3)


def test_a_model_that_knows_no_spots_gets_no_unit_by_them(maps, settings, low):
    blind = replace(settings, normalisation="paper", components=Components.without(["image-only"]))
    found = SuperresModel.train(maps, blind).predict(low, **FEW)
    assert found.unit == "relative" and found.provenance["consistent"] is False


def test_a_saved_model_predicts_the_same(model, low, tmp_path):
    model.save(tmp_path / "model")
    again = SuperresModel.load(tmp_path / "model")
    assert (again.settings, again.genes, again.patients) == (
        model.settings, model.genes, ("P01", "P02"),
    )  # fmt: skip
    np.testing.assert_array_equal(again.predict(low, **FEW).mean, model.predict(low, **FEW).mean)
    np.testing.assert_array_equal(again.regress(low), model.regress(low))
    assert "P03" in (tmp_path / "model/README.md").read_text()
    short = {name: values[:2] for name, values in model.scale.arrays().items()}
    for damaged, message in ((short, "genes, found 2"), ({"hr_mean": short["hr_mean"]}, "arrays")):
        save_file(damaged, tmp_path / "model/scale.safetensors")
        with pytest.raises(InputError, match=message):
            SuperresModel.load(tmp_path / "model")


def test_what_does_not_fit_the_model_is_refused(model, low, maps):
    for change, message in (
        ({"genes": low.genes[::-1]}, "genes are not the model's"),
        ({"scale": 4}, "bins along a spot"),
        ({"lr_um": 55.0}, "not as wide"),
        ({"sampling": "discs"}, "what a spot counts"),
        ({"tissue": np.zeros_like(low.tissue)}, "no tissue"),
    ):
        with pytest.raises(InputError, match=message):
            model.predict(replace(low, **change), **FEW)
    with pytest.raises(InputError, match="1 or more"):
        model.predict(low, samples=0)
    with pytest.raises(InputError, match="batch-size"):
        model.predict(low, batch_size=0)
    with pytest.raises(InputError, match="solver or steps"):
        model.predict(low, samples=1, steps=1)
    with pytest.raises(InputError, match="no patient 'P9'"):
        SuperresModel.train(maps, model.settings, held_out=["P9"])


def test_only_patients_that_were_held_out_are_scored(model, maps, tmp_path):
    table = evaluate(model, maps, tmp_path / "scores", **FEW)
    assert set(table["patient"]) == {"P03"}
    own = table.set_index("method").loc[OWN]
    assert own["spots_error"] == pytest.approx(0, abs=1e-3) and -1 <= own["uncertainty_rank"] <= 1
    assert {"zero", "nearest", "bicubic", "inverse distance", "U-Net regression", ONE} < set(
        table["method"]
    )
    known = table.set_index("method").loc[KNOWN]
    assert known["rmse_expected"] == 0 and known["spread"] == pytest.approx(1, abs=0.1)
    assert table["rmse_log1p"].idxmin() == table.index[table["method"] == KNOWN][0]
    windows = pd.read_csv(tmp_path / "scores/windows.csv")
    assert len(windows) == len(table) * 4  # 40 × 40 bins hold four windows of 16
    assert (tmp_path / "scores/S03.png").stat().st_size > 10_000
    again = evaluate(model, maps, tmp_path / "scores", **FEW)
    pd.testing.assert_frame_equal(again, table)
    summary = json.loads((tmp_path / "scores/summary.json").read_text())
    assert summary["seed"] == 0 and summary["consistent"]
    with pytest.raises(InputError, match="trained on all"):
        evaluate(model, maps.of(["P01"]), tmp_path / "other")


@pytest.mark.parametrize(("lr_size", "scale", "hr_size"), [(26, 10, 256), (26, 5, 128), (8, 2, 16)])
def test_no_bin_of_a_section_lies_beyond_all_tiles(low, model, settings, lr_size, scale, hr_size):
    sized = replace(settings, lr_size=lr_size, scale=scale)
    assert sized.hr_size == hr_size
    spots = np.ones((4, 30, 27), np.float32)
    whole = replace(
        low,
        spots=spots,
        scale=scale,
        tissue=np.ones((30 * scale, 27 * scale), bool),
        image=np.full((30 * scale * sized.image_px, 27 * scale * sized.image_px, 3), 200, np.uint8),
    )
    area = Field(whole, sized)
    covered = np.zeros(area.shape, bool)
    for row, column in area.places(lr_size - 2):
        top, left = row * scale, column * scale
        covered[top : top + hr_size, left : left + hr_size] = True
    assert covered[: 30 * scale, : 27 * scale].all()
