import dataclasses

import numpy as np
import pytest
import torch

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError
from c2lst.local import AdapterSettings, LocalModel, SynthesisSettings
from toy import training

SYNTHESIS = SynthesisSettings(per_spot=2, batch_size=8, seed=5)


def adapt(base, spots, steps=6, **options):
    settings = AdapterSettings(training(steps, learning_rate=1e-2), width=8, **options)
    return LocalModel.adapt(base, *spots, settings)


@pytest.fixture(scope="module")
def local(base, spots):
    return adapt(base, spots)


def test_adaptation_leaves_the_central_model_alone_and_learns(base, spots, local):
    assert base.hash == local.provenance["base_hash"]
    fresh = adapt(base, spots, steps=1)
    moved = [
        (a - b).abs().max()
        for a, b in zip(
            local.network.modulations.parameters(),
            fresh.network.modulations.parameters(),
            strict=True,
        )
    ]
    assert max(moved) > 1e-4


def test_only_training_spots_are_learnt_from(base, spots):
    """Other counts and other patches at the test spots give the very same adapter."""
    section, split, _ = spots
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
    first, second = adapt(base, spots), adapt(base, (other, other_split, fitted))
    for name, value in first.network.adapter_state().items():
        assert torch.equal(value, second.network.adapter_state()[name]), name


def test_both_guidance_branches_in_one_batch_equal_separate_ones(local, spots):
    section, _, preprocessing = spots
    network = local.network.eval()
    genes = torch.from_numpy(preprocessing.expression(section)[:3])
    noisy = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    given = torch.arange(6) < 3
    both = network(noisy.repeat(2, 1, 1, 1), 500, genes.repeat(2, 1), given)
    conditional = network(noisy, 500, genes)
    null = network(noisy, 500, genes, torch.zeros(3, dtype=torch.bool))
    torch.testing.assert_close(both, torch.cat([conditional, null]), atol=1e-5, rtol=1e-4)


def test_splits_and_preprocessings_of_other_spots_are_refused(local, base, spots):
    section, _, preprocessing = spots
    other = SpotSplit.draw(section, fraction=0.25, seed=2)
    with pytest.raises(InputError, match="training spots"):
        local.synthesize(section, other, SYNTHESIS)
    with pytest.raises(InputError, match="other training spots"):
        LocalModel.adapt(base, section, other, preprocessing, AdapterSettings(training()))


def test_the_patch_side_is_compared_within_rounding(base, spots):
    section, split, preprocessing = spots
    settings = AdapterSettings(training(1), width=8)
    rounded = dataclasses.replace(preprocessing, patch_um=111.999999999999)
    LocalModel.adapt(base, section, split, rounded, settings)
    other = dataclasses.replace(preprocessing, patch_um=100.0)
    with pytest.raises(InputError, match="patch side"):
        LocalModel.adapt(base, section, split, other, settings)
