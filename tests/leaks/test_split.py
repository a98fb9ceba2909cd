"""Leaks across the split of a section: each is planted by the public API, and refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial import KDTree

from c2lst.data.genes import GenePanel
from c2lst.data.patches import Patches
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.data.synthetic import SyntheticPairs
from c2lst.errors import InputError
from c2lst.local import AdapterSettings, LocalModel, SynthesisSettings
from c2lst.local.profile_file import ProfileFile
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.predictor import ExpressionPredictor
from toy import training
from toy_local import SETTINGS, save_toy

NETWORK = PredictorSettings(network="resnet-tiny", folds=2, steps=3, batch_size=8, components=4)


@pytest.fixture(scope="module")
def toy(section, tmp_path_factory):
    """An adapter to the section, trained on its own split."""
    return save_toy(tmp_path_factory.mktemp("toy"), section)


def with_counts(section: Section, counts: np.ndarray) -> Section:
    adata = section.adata.copy()
    adata.X = sparse.csr_matrix(counts.astype(np.float32))
    return dataclasses.replace(section, adata=adata)


def copies(
    section: Section, fitted: Preprocessing, rows: np.ndarray, **provenance: str
) -> SyntheticPairs:
    """Pairs that give away what is at spots ``rows``, each as often as it is named."""
    lognorm = fitted.lognorm(section)[rows]
    return SyntheticPairs(
        images=fitted.images(section)[rows],
        scaled=fitted.scaler.scale(lognorm),
        lognorm=lognorm,
        source_barcodes=section.barcodes[rows],
        seeds=np.arange(len(rows)),
        guidance_scale=1.0,
        sampler="copy",
        provenance=provenance,
        genes=fitted.panel.genes,
        patch_um=112.0,
    )


# Gene choice or scaling over test spots


def test_genes_and_scales_know_nothing_of_test_spots(section, split, fitted):
    counts = section.counts.toarray()
    counts[split.of(section) == "test"] = 0
    counts[split.of(section) == "test", -1] = 10_000  # a marker of the test spots alone
    marked = with_counts(section, counts)
    same = dataclasses.replace(split, section_hash=marked.content_hash)
    again = Preprocessing.fit(marked, same, n_genes=12)
    assert GenePanel.top_mean(marked, 12) != again.panel == fitted.panel
    assert again.scaler.to_dict() == fitted.scaler.to_dict()


@pytest.mark.parametrize("other", ["split", "section"])
def test_genes_and_scales_of_other_spots_are_refused(section, split, elsewhere, toy, other):
    """The artefact carries the hash of its barcodes and of its section: two may share barcodes."""
    if other == "split":
        spots, words = SpotSplit.draw(section, 0.5, seed=2), "other training spots"
        leaky = Preprocessing.fit(section, spots, n_genes=12)
    else:
        spots, words = SpotSplit.draw(elsewhere, 0.5, seed=1), "another section"
        assert spots.train_hash == split.train_hash
        leaky = Preprocessing.fit(elsewhere, spots, n_genes=12)
    settings = PredictorSettings(network="none")
    with pytest.raises(InputError, match=words):
        ExpressionPredictor.fit(section, split, leaky, settings=settings)
    with pytest.raises(InputError, match=words):
        LocalModel.adapt(toy.local.central, section, split, leaky, AdapterSettings(training(1)))


# Smoothing labels over neighbours across the split


def smoothed(section: Section) -> np.ndarray:
    _, near = KDTree(section.centres_um).query(section.centres_um, k=5)
    return section.counts.toarray()[near].mean(axis=1)


def test_labels_smoothed_over_neighbours_are_no_counts(section):
    with pytest.raises(InputError, match="not a whole number"):
        with_counts(section, smoothed(section))


def test_labels_smoothed_after_the_split_are_not_what_was_split(section, split, fitted):
    leaky = with_counts(section, np.rint(smoothed(section)))
    with pytest.raises(InputError, match="does not belong to section"):
        Preprocessing.fit(leaky, split, n_genes=12)
    with pytest.raises(InputError, match="does not belong to section"):
        ExpressionPredictor.fit(leaky, split, fitted, settings=NETWORK)


# Synthesis from test profiles


def test_profiles_of_test_spots_are_not_drawn_for(toy, section, tmp_path):
    other = SpotSplit.draw(section, fraction=0.25, seed=2)
    with pytest.raises(InputError, match="not those that the adapter was trained on"):
        toy.local.synthesize(section, other, SETTINGS)
    secret = section.subset(toy.split.test[:3])
    for name, names in (("name", secret.barcodes), ("counts", ["a", "b", "c"])):
        rows = [",".join(map(str, row)) for row in secret.counts.toarray().astype(int)]
        lines = [f"{spot},{row}" for spot, row in zip(names, rows, strict=True)]
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join([",".join(["", *section.genes]), *lines]) + "\n")
        with pytest.raises(InputError, match="outside the training spots"):
            ProfileFile.read(path).check(section, toy.split, toy.local.preprocessing)


def test_a_policy_that_mixes_spots_mixes_training_spots(toy, section):
    settings = SynthesisSettings(per_spot=2, policy="mixup", sampler="fast", batch_size=8)
    pairs = toy.local.synthesize(section, toy.split, settings)
    parents = {name for source in pairs.source_barcodes for name in source.split("+")}
    assert parents <= set(toy.split.train)


def test_pairs_that_hold_test_spots_are_not_learnt_from(section, split, fitted):
    leaky = copies(section, fitted, section.indices_of(split.test))
    with pytest.raises(InputError, match="not training spots"):
        ExpressionPredictor.fit(section, split, fitted, synthetic=leaky, settings=NETWORK)


def test_pairs_of_another_section_are_not_taken_for_ones_of_this(section, split, fitted, elsewhere):
    rows = section.indices_of(split.train)
    leaky = copies(elsewhere, fitted, rows, section_hash=elsewhere.content_hash)
    with pytest.raises(InputError, match="drawn from the profiles of another section"):
        ExpressionPredictor.fit(section, split, fitted, synthetic=leaky, settings=NETWORK)


# Stain reference from test tiles


def test_the_colour_of_test_tiles_changes_no_reference(section, split, fitted):
    images = section.patches[:].copy()
    test = split.of(section) == "test"
    images[test] = images[test][..., ::-1] // 2
    marked = dataclasses.replace(section, patches=Patches(images, 112.0))
    again = Preprocessing.fit(marked, split, n_genes=12)
    assert again.stain.same_as(fitted.stain)
    assert again.source_stain.same_as(fitted.source_stain)


def test_another_section_is_brought_to_the_reference_and_not_it_to_the_section(fitted, elsewhere):
    assert fitted.for_section(elsewhere).stain.same_as(fitted.stain)


# More steps mistaken for better data


def test_ten_times_the_pairs_are_not_one_step_more(section, split, fitted):
    rows = np.repeat(section.indices_of(split.train), 10)
    pairs = copies(section, fitted, rows)
    steps = []
    for synthetic in (pairs, None):
        predictor = ExpressionPredictor.fit(
            section, split, fitted, synthetic=synthetic, settings=NETWORK
        )
        assert predictor.network is not None
        steps.append([history.steps[-1] for history in predictor.network.histories])
        assert predictor.summary["synthetic_pairs"] == (0 if synthetic is None else len(pairs))
    assert steps[0] == steps[1] == [NETWORK.steps] * NETWORK.folds
