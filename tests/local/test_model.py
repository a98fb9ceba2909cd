import dataclasses
import json

import numpy as np
import pytest
import torch

from c2lst.central import CentralModel
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.split import SpotSplit
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.errors import InputError
from c2lst.local import AdapterSettings, LocalModel, SynthesisSettings
from toy import SHAPE, training

SYNTHESIS = SynthesisSettings(per_spot=2, batch_size=8, seed=5)


@pytest.fixture(scope="module")
def slide(small_legacy):
    section = read(small_legacy, size=16)
    split = SpotSplit.draw(section, fraction=0.25, seed=1)
    return section, split, Preprocessing.fit(section, split, n_genes=12)


@pytest.fixture(scope="module")
def central(slide):
    torch.manual_seed(0)
    process = NoiseProcess(prediction="v_prediction")
    return CentralModel(build_unet(SHAPE).eval(), process, 112.0, slide[2].stain)


def adapt(central, slide, steps=6, **options):
    settings = AdapterSettings(training(steps, learning_rate=1e-2), width=8, **options)
    return LocalModel.adapt(central, *slide, settings)


@pytest.fixture(scope="module")
def local(central, slide):
    return adapt(central, slide)


def test_adaptation_leaves_the_central_model_alone_and_learns(central, slide, local):
    assert central.hash == local.provenance["base_hash"]
    fresh = adapt(central, slide, steps=1)
    moved = [
        (a - b).abs().max()
        for a, b in zip(
            local.network.modulations.parameters(),
            fresh.network.modulations.parameters(),
            strict=True,
        )
    ]
    assert max(moved) > 1e-4


def test_only_training_spots_are_learnt_from(central, slide):
    """Other counts and other patches at the test spots give the very same adapter."""
    section, split, _ = slide
    test = section.indices_of(split.test)
    adata = section.adata.copy()
    counts = adata.X.toarray()
    counts[test] = counts[test][:, ::-1]
    adata.X = type(section.adata.X)(counts)
    images = section.patches[np.arange(len(section))].copy()
    images[test] = 0
    other = dataclasses.replace(
        section, adata=adata, patches=dataclasses.replace(section.patches, images=images)
    )
    other_split = dataclasses.replace(split, section_hash=other.content_hash)
    fitted = Preprocessing.fit(other, other_split, n_genes=12)
    first, second = adapt(central, slide), adapt(central, (other, other_split, fitted))
    for name, value in first.network.adapter_state().items():
        assert torch.equal(value, second.network.adapter_state()[name]), name


def test_a_saved_adapter_comes_back_whole(local, central, slide, tmp_path):
    local.save(tmp_path / "adapter")
    loaded = LocalModel.load(tmp_path / "adapter", central)
    section, split, _ = slide
    first = local.synthesize(section, split, SYNTHESIS)
    second = loaded.synthesize(section, split, SYNTHESIS)
    np.testing.assert_array_equal(first.images, second.images)
    names = {p.name for p in (tmp_path / "adapter").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= names
    state = (tmp_path / "adapter" / "adapter_model.safetensors").stat().st_size
    assert state < 4 * local.provenance["parameters"] + 10_000


def test_an_adapter_refuses_another_base_and_changed_files(local, slide, tmp_path):
    local.save(tmp_path / "adapter")
    torch.manual_seed(9)
    other = CentralModel(build_unet(SHAPE), local.central.process, 112.0, local.central.stain)
    with pytest.raises(InputError, match="central model does not match"):
        LocalModel.load(tmp_path / "adapter", other)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps(config | {"genes_hash": "0"})
    )
    with pytest.raises(InputError, match="genes does not match"):
        LocalModel.load(tmp_path / "adapter", local.central)


def test_synthetic_pairs_name_their_spots_and_hold_their_profiles(local, slide):
    section, split, preprocessing = slide
    pairs = local.synthesize(section, split, SYNTHESIS)
    assert set(pairs.source_barcodes) == set(split.train)
    assert len(pairs) == 2 * len(split.train)
    rows = [section.barcodes.tolist().index(source) for source in pairs.source_barcodes]
    np.testing.assert_allclose(pairs.scaled, preprocessing.expression(section)[rows], atol=1e-6)
    np.testing.assert_allclose(pairs.lognorm, preprocessing.lognorm(section)[rows], atol=1e-4)


def test_an_image_does_not_depend_on_the_batch_it_is_drawn_in(local, slide):
    section, split, _ = slide
    together = local.synthesize(section, split, SYNTHESIS)
    apart = local.synthesize(section, split, dataclasses.replace(SYNTHESIS, batch_size=3))
    difference = np.abs(together.images.astype(int) - apart.images.astype(int))
    assert difference.mean() < 0.5


def test_profiles_between_spots_name_both_parents(local, slide):
    section, split, _ = slide
    pairs = local.synthesize(section, split, dataclasses.replace(SYNTHESIS, policy="mixup"))
    parents = [source.split("+") for source in pairs.source_barcodes]
    assert all(len(p) == 2 and set(p) <= set(split.train) for p in parents)
    scaled = local.preprocessing.expression(section)
    rows = {b: i for i, b in enumerate(section.barcodes.tolist())}
    for profile, (a, b) in zip(pairs.scaled, parents, strict=True):
        ends = np.stack([scaled[rows[a]], scaled[rows[b]]])
        assert (profile >= ends.min(0) - 1e-5).all() and (profile <= ends.max(0) + 1e-5).all()


def test_both_guidance_branches_in_one_batch_equal_separate_ones(local, slide):
    section, _, preprocessing = slide
    network = adapt(local.central, slide, steps=3).network.eval()
    genes = torch.from_numpy(preprocessing.expression(section)[:3])
    noisy = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    given = torch.arange(6) < 3
    both = network(noisy.repeat(2, 1, 1, 1), 500, genes.repeat(2, 1), given)
    conditional = network(noisy, 500, genes)
    null = network(noisy, 500, genes, torch.zeros(3, dtype=torch.bool))
    torch.testing.assert_close(both, torch.cat([conditional, null]), atol=1e-5, rtol=1e-4)


def test_splits_and_preprocessings_of_other_spots_are_refused(local, central, slide):
    section, _, preprocessing = slide
    other = SpotSplit.draw(section, fraction=0.25, seed=2)
    with pytest.raises(InputError, match="training spots"):
        local.synthesize(section, other, SYNTHESIS)
    with pytest.raises(InputError, match="other spots"):
        LocalModel.adapt(central, section, other, preprocessing, AdapterSettings(training()))


def test_the_patch_side_is_compared_within_rounding(central, slide):
    section, split, preprocessing = slide
    settings = AdapterSettings(training(1), width=8)
    rounded = dataclasses.replace(preprocessing, patch_um=111.999999999999)
    LocalModel.adapt(central, section, split, rounded, settings)
    other = dataclasses.replace(preprocessing, patch_um=100.0)
    with pytest.raises(InputError, match="patch side"):
        LocalModel.adapt(central, section, split, other, settings)


def test_an_adapter_stays_small():
    from c2lst.diffusion.film import GeneModulatedUNet
    from c2lst.settings import load_settings

    for preset in ("tiny", "small", "paper"):
        settings = load_settings(preset)
        with torch.device("meta"):
            unet = build_unet(settings.central.shape)
            model = GeneModulatedUNet(unet, 250, settings.adapter.width)
        adapter = sum(v.numel() for v in model.adapter_state().values())
        assert adapter <= 0.05 * sum(p.numel() for p in unet.parameters()), preset
