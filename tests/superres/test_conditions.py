"""Graph, crops, curriculum and scaling: what the network is shown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.superres.crops import cell_view, curriculum, cut_crops, entropy
from c2lst.superres.graph import GraphLayer, fit_graph
from c2lst.superres.interpolation import LEAST_SD, Interpolation, interpolated
from c2lst.superres.presets import load_settings
from c2lst.superres.scaling import ExpressionScale


@given(st.integers(0, 999), st.sampled_from(["correlation", "intensity_ratio"]))
def test_the_graph_is_symmetric_and_finite(seed, kind):
    rng = np.random.default_rng(seed)
    spots = rng.poisson(rng.gamma(1.0, 2.0, 5), (30, 5)).astype(np.float32)
    spots[:, 2] = 0  # a gene without counts
    graph = fit_graph(spots, kind)
    assert np.isfinite(graph).all() and (graph == graph.T).all() and (graph >= 0).all()
    assert (np.delete(graph[2], 2) == 0).all()


def test_correlated_genes_are_neighbours():
    rng = np.random.default_rng(0)
    shared = rng.gamma(2.0, 3.0, 200)
    spots = np.column_stack([shared, shared * 2, rng.gamma(2.0, 3.0, 200)])
    graph = fit_graph(spots)
    assert graph[0, 1] > 3 * graph[0, 2]
    # The paper's is largest for genes of most unlike intensity.
    ratio = fit_graph(spots, "intensity_ratio")
    assert ratio[0, 1] == pytest.approx(2, rel=1e-5) and ratio[0, 0] == 1


def test_the_graph_layer_keeps_98_of_100_and_any_size():
    layer = GraphLayer(3)
    layer.adjacency.zero_()
    for size in (4, 7):
        spots = torch.randn(2, 3, size, size)
        assert torch.allclose(layer(spots), 0.98 * spots)


def test_the_curriculum_shows_more_and_more():
    assert [curriculum(p) for p in (0.0, 0.024, 0.03, 0.06, 1.0)] == [0.25, 0.25, 0.5, 1.0, 1.0]


def crops_of_rising_entropy() -> torch.Tensor:
    """Sixteen crops of 4 px, each with more grey levels than the one before, shuffled."""
    torch.manual_seed(0)
    image = torch.zeros(1, 3, 16, 16)
    for place, levels in enumerate(torch.randperm(16).tolist()):
        row, column = divmod(place, 4)
        values = -1 + 1.2 * (torch.arange(16) % (levels + 1)) / 16
        image[:, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = values.reshape(4, 4)
    return image


def test_few_crops_are_those_of_low_entropy():
    image = crops_of_rising_entropy()
    order = entropy(cut_crops(image, 4))[0].argsort()
    shown = cell_view(image, 4, 0.25)
    assert torch.allclose(shown, cut_crops(image, 4)[:, order[:4]].mean(dim=1))


def test_crops_that_are_not_shown_have_no_influence():
    image = crops_of_rising_entropy()
    order = entropy(cut_crops(image, 4))[0].argsort()
    row, column = divmod(int(order[-1]), 4)
    other = image.clone()
    part = other[:, :, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
    part += 0.01 * torch.randn_like(part)
    assert torch.equal(cell_view(image, 4, 0.25), cell_view(other, 4, 0.25))
    assert not torch.equal(cell_view(image, 4), cell_view(other, 4))


def test_empty_slide_is_left_out_and_an_empty_window_is_no_failure():
    image = crops_of_rising_entropy()
    image[:, :, :, 8:] = 1.0
    kept = cut_crops(image, 4)[:, [0, 1, 4, 5, 8, 9, 12, 13]]
    assert torch.allclose(cell_view(image, 4), kept.mean(dim=1), atol=1e-6)
    assert torch.allclose(cell_view(torch.ones(1, 3, 16, 16), 4), torch.ones(1, 3, 4, 4))


def test_scaled_counts_become_counts_again(maps):
    scale = ExpressionScale.fit(maps)
    counts = torch.from_numpy(maps.samples[0].counts)[None]
    assert torch.allclose(scale.decode(scale.encode_bins(counts)), counts, atol=1e-3)
    scaled = scale.encode_bins(counts)
    assert torch.allclose(scale.clamp(scaled), scaled, atol=1e-5)
    assert (scale.decode(scale.clamp(scaled * 0 + 99)) <= counts.new_tensor(
        [s.counts.max() for s in maps.samples]).max() * 1.01).all()  # fmt: skip


def test_maps_without_tissue_have_no_scale(maps):
    bare = [replace(s, tissue=np.zeros_like(s.tissue)) for s in maps.samples]
    with pytest.raises(InputError, match="no bin of tissue"):
        ExpressionScale.fit(replace(maps, samples=tuple(bare)))
    assert ExpressionScale.fit(replace(maps, samples=(*bare[1:], maps.samples[0])))


def test_a_map_is_its_interpolated_spots_and_the_rest(maps):
    scale = ExpressionScale.fit(maps, residual=True)
    again = ExpressionScale.of_arrays(scale.arrays(), "log1p")
    rest = []
    for sample in maps.samples:
        counts = torch.from_numpy(sample.counts)[None]
        spots = torch.from_numpy(maps.spots(sample))[None]
        base = again.base(spots, maps.scale, sample.shape)
        values = again.encode_bins(counts, base)
        assert torch.allclose(again.decode(values, base), counts, atol=1e-3)
        assert torch.allclose(again.clamp(values, base), values, atol=1e-4)
        rest.append(values[0][:, torch.from_numpy(sample.tissue)])
    found = torch.cat(rest, dim=1)
    assert torch.allclose(found.mean(dim=1), torch.zeros(len(found)), atol=1e-3)
    assert torch.allclose(found.std(dim=1), torch.ones(len(found)), atol=1e-2)
    assert ExpressionScale.fit(maps).base(spots, maps.scale, sample.shape) is None


@pytest.mark.parametrize("factor", [1, 2, 5])
def test_spots_that_are_alike_say_the_same_of_each_bin(factor):
    told = interpolated(torch.full((1, 1, 3, 4), 50.0), factor, (3 * factor - 1, 4 * factor))
    assert told.shape == (1, 1, 3 * factor - 1, 4 * factor)
    assert torch.allclose(told, torch.tensor(50.0 / factor**2).log1p())


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_what_lies_on_a_line_leaves_no_rest(slope, intercept):
    told = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
    line = Interpolation.fit(told, slope * told + intercept)
    assert np.allclose(line.slope, slope, atol=1e-4)
    assert np.allclose(line.intercept, intercept, atol=1e-4)
    assert (line.rest == np.float32(LEAST_SD)).all()


def test_the_rest_is_asked_for_only_where_the_spots_may_be_known():
    assert load_settings("tiny").interpolates and not load_settings("paper").interpolates
    for changes in ({"ablate": ["image-only"]}, {"normalisation": "paper"}, {"residual": False}):
        assert not load_settings("tiny", **changes).interpolates


def test_paper_scaling_is_of_each_window_and_gene(maps):
    scale = ExpressionScale.fit(maps, "paper")
    counts = torch.from_numpy(maps.samples[0].counts)[None]
    scaled = scale.encode_bins(counts)
    assert torch.allclose(scaled.amax(dim=(2, 3)), torch.ones(1, 4))
    assert torch.equal(scale.encode_bins(counts * 7), scaled)
