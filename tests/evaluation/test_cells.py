import json
import sys
import types
import zipfile

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import KDTree

from c2lst.data.readers import read
from c2lst.data.simulate import simulate_tissue
from c2lst.data.stain import StainReference
from c2lst.data.stain.conversion import intensity
from c2lst.errors import InputError
from c2lst.evaluation.cells import (
    NuclearClasses,
    Nuclei,
    Segmentation,
    WatershedFinder,
    divergence,
    find_nuclei,
    nuclei,
    shares,
)
from c2lst.evaluation.cells.cellvit import read_cellvit, read_outlines
from c2lst.evaluation.cells.cellvit_sets import CellVitNuclei, TileGrid
from c2lst.evaluation.cells.composition import jensen_shannon
from c2lst.evaluation.cells.hovernet import PANNUKE, HoverNetFinder
from c2lst.evaluation.cells.overlay import draw_overlay

UM = 112.0


def drawn(ellipses, size=112, eosin=0.2):
    """A pale patch with dark ellipses: x, y, half axes along and across, angle; all in µm."""
    y, x = np.mgrid[:size, :size] * (UM / size) + UM / size / 2
    blue = np.zeros((size, size))
    for left, top, along, across, angle in ellipses:
        u = (x - left) * np.cos(angle) + (y - top) * np.sin(angle)
        v = (y - top) * np.cos(angle) - (x - left) * np.sin(angle)
        blue += (u / along) ** 2 + (v / across) ** 2 < 1
    stains = np.stack([blue.clip(max=1), np.full_like(blue, eosin)], axis=-1)
    return intensity(stains @ StainReference.standard().matrix)


def found_in(*patches):
    return find_nuclei(WatershedFinder(0.4), np.stack(patches), UM)


@pytest.mark.parametrize(("size", "least"), [(32, 0.55), (48, 0.7), (112, 0.78)])
def test_counts_follow_the_true_nuclei(simulated, size, least):
    images, true = simulated(size)
    found = find_nuclei(WatershedFinder.fit(images, UM), images, UM)
    assert np.corrcoef(found.counts, true)[0, 1] > 0.96
    assert least < np.polyfit(true, found.counts, 1)[0] < 1.1
    assert least < found.counts.mean() / true.mean() < 1.1


def test_an_ellipse_has_its_place_its_area_and_its_eccentricity():
    found = found_in(drawn([(30, 70, 8, 4, 0.6)]), drawn([(60, 40, 6, 6, 0)]))
    np.testing.assert_allclose(found.centres_um, [[30, 70], [60, 40]], atol=0.7)
    np.testing.assert_allclose(found.area_um2, [np.pi * 32, np.pi * 36], rtol=0.15)
    assert found.eccentricity[0] == pytest.approx(np.sqrt(1 - 0.25), abs=0.06)
    assert found.eccentricity[1] < 0.35
    assert found.patch.tolist() == [0, 1] and found.kinds == ("nucleus",)


def test_touching_nuclei_are_parted_and_specks_are_none():
    pair = [(40, 40, 5, 5, 0), (49, 40, 5, 5, 0)]
    found = found_in(drawn(pair), drawn([(40, 40, 1.2, 1.2, 0)]), drawn([]))
    assert found.counts.tolist() == [2, 0, 0]
    measures = found.per_patch()
    assert np.isnan(measures["nuclear_area"][1:]).all()
    assert measures["nuclei_per_mm2"][0] == pytest.approx(2 / 0.112**2)
    assert measures["nuclear_share"][0] == pytest.approx(2 * np.pi * 25 / UM**2, rel=0.2)


def test_patches_do_not_touch_each_other(monkeypatch):
    """A nucleus at the same place of every patch is one in each, in any batch."""
    patch = drawn([(40, 40, 6, 4, 0)])
    together = found_in(*[patch] * 5)
    monkeypatch.setattr(nuclei, "BATCH", 2)
    apart = found_in(*[patch] * 5)
    assert together.counts.tolist() == apart.counts.tolist() == [1] * 5
    np.testing.assert_array_equal(together.area_um2, apart.area_um2)
    assert apart.patch.tolist() == [0, 1, 2, 3, 4]


@settings(max_examples=15)
@given(turn=st.integers(0, 3), mirrored=st.booleans(), seed=st.integers(0, 99))
def test_a_turned_patch_has_the_same_nuclei(turn, mirrored, seed):
    rng = np.random.default_rng(seed)
    places = [(*rng.uniform(15, 97, 2), *rng.uniform(3, 7, 2), rng.uniform(0, 3)) for _ in range(6)]
    image = drawn(places)
    turned = np.rot90(image, turn)
    turned = turned[:, ::-1] if mirrored else turned
    first, second = found_in(image), found_in(turned)
    # Where two pixels are equally deep the valley may go either way.
    assert abs(len(first) - len(second)) <= 1
    assert first.area_um2.sum() == pytest.approx(second.area_um2.sum(), rel=0.02)


def test_no_patch_and_empty_glass_are_no_error():
    glass = np.full((2, 32, 32, 3), 245, dtype=np.uint8)
    assert len(find_nuclei(WatershedFinder.fit(glass, UM), glass, UM)) == 0
    assert find_nuclei(WatershedFinder(0.4), glass[:0], UM).patches == 0


def made(areas, longness, patch, patches, kinds=("nucleus",), kind=None):
    m = len(areas)
    return Nuclei(
        np.asarray(patch), np.zeros((m, 2)), np.asarray(areas, float), np.asarray(longness, float),
        np.zeros(m, int) if kind is None else np.asarray(kind), kinds, patches, UM,
    )  # fmt: skip


def test_classes_part_the_real_nuclei_evenly_and_count_every_one():
    rng = np.random.default_rng(0)
    real = made(rng.gamma(4, 10, 600), rng.uniform(0, 1, 600), rng.integers(0, 20, 600), 21)
    classes = NuclearClasses.fit(real)
    counts = classes.counts(real)
    assert counts.shape == (21, 6) and counts.sum() == 600
    np.testing.assert_array_equal(counts.sum(axis=1), real.counts)
    assert counts.sum(axis=0).min() > 60
    largest = made([1e4], [0.99], [0], 1)
    assert classes.names[classes.of(largest)[0]] == "large, long"


def test_types_of_a_network_are_the_classes():
    typed = made([30, 30], [0, 0], [0, 1], 2, kinds=("a", "b"), kind=[1, 0])
    assert NuclearClasses.fit(typed).counts(typed).tolist() == [[0, 1], [1, 0]]


def test_too_few_real_nuclei_make_no_classes():
    with pytest.raises(InputError, match="too few nuclei"):
        NuclearClasses.fit(made([30], [0], [0], 1))


def test_divergence_has_known_values():
    assert jensen_shannon(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(1)
    assert jensen_shannon(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    # ½ KL(p‖m) + ½ KL(q‖m), p = (1, 0), q = (½, ½), m = (¾, ¼)
    wanted = 0.5 * np.log2(4 / 3) + 0.5 * (0.5 * np.log2(2 / 3) + 0.5 * np.log2(2))
    assert jensen_shannon(np.array([1.0, 0]), np.array([0.5, 0.5])) == pytest.approx(wanted)
    assert np.isnan(jensen_shannon(np.array([np.nan, np.nan]), np.array([0.5, 0.5])))


def test_divergence_tells_other_tissue_from_another_sample_of_the_same():
    rng = np.random.default_rng(1)
    same = [rng.poisson([8, 4, 2], (60, 3)) for _ in range(2)]
    other = rng.poisson([3, 4, 8], (60, 3))
    floor, far = divergence(*same), divergence(same[0], other)
    assert floor.value < 0.01 and far.low > floor.high
    assert far.low < far.value < far.high


@given(st.integers(0, 200))
def test_divergence_is_symmetric_and_within_its_bounds(seed):
    rng = np.random.default_rng(seed)
    p, q = rng.dirichlet(np.full(5, 0.3), 2)
    value = jensen_shannon(p, q)
    assert 0 <= value <= 1 and value == pytest.approx(jensen_shannon(q, p))


def test_shares_add_up_and_patches_of_one_spot_widen_their_interval():
    rng = np.random.default_rng(2)
    spots = np.repeat(np.arange(15), 8)
    counts = rng.poisson(rng.gamma(2, 2, (15, 3)))[spots]
    found, blind = shares(counts, spots), shares(counts)
    assert sum(each.value for each in found) == pytest.approx(1)
    assert all(each.low < each.value < each.high for each in found)
    assert found[0].high - found[0].low > 2 * (blind[0].high - blind[0].low)


def test_overlays_show_every_nucleus_outlined():
    patch = drawn([(30, 30, 6, 4, 0), (70, 60, 6, 6, 0)])[None]
    found = WatershedFinder(0.4).segment(patch, UM)
    figure = draw_overlay({"real": (patch, found)}, UM, "watershed")
    lines = [line for axes in figure.axes for line in axes.lines]
    assert len(lines) == 2
    left = [line.get_xdata() for line in lines]
    assert sorted(round(float(x.mean())) for x in left) == [30, 70]


@pytest.fixture(params=["version 1", "version 2"])
def tiatoolbox(monkeypatch, tmp_path, request):
    """A mock of tiatoolbox: nuclear where it is dark, of type 2 where it is blue."""
    import torch

    class HoVerNet(torch.nn.Module):
        def __init__(self, num_types, mode):
            super().__init__()
            assert num_types == 6 and mode == "fast"
            self.scale = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixels):
            core = pixels[:, :, 46:210, 46:210]
            assert pixels.shape[-1] == 256
            dark = (core.mean(dim=1, keepdim=True) < 190).float() * self.scale
            np_map = torch.cat([1 - dark, dark], dim=1) * 20
            types_map = torch.zeros(len(core), 6, 164, 164)
            types_map[:, 2] = 1
            return {"np": np_map, "hv": torch.zeros(len(core), 2, 164, 164), "tp": types_map}

        @staticmethod
        def postproc(maps):
            from scipy.ndimage import label

            assert [m.shape[-1] for m in maps] == [1, 2, 1]
            found, _ = label(maps[0][..., 0] >= 0.5)
            return (found, {}) if request.param == "version 1" else ({"predictions": found},)

    weights = tmp_path / "weights.pth"
    torch.save({"scale": torch.ones(1)}, weights)
    architecture = types.ModuleType("tiatoolbox.models.architecture")
    architecture.fetch_pretrained_weights = lambda name: weights
    network = types.ModuleType("tiatoolbox.models.architecture.hovernet")
    network.HoVerNet = HoVerNet
    for name in ("tiatoolbox", "tiatoolbox.models"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, architecture.__name__, architecture)
    monkeypatch.setitem(sys.modules, network.__name__, network)


def test_hovernet_sees_the_whole_patch_at_its_own_resolution(tiatoolbox):
    """Nuclei in the middle, across the seams of its windows and in a corner, each once."""
    places = [(56, 56, 6, 6, 0), (41, 20, 6, 6, 0), (5, 5, 4, 4, 0), (107, 100, 4, 4, 0)]
    found = find_nuclei(HoverNetFinder(), np.stack([drawn(places), drawn([])]), UM)
    assert found.counts.tolist() == [4, 0] and found.kinds == PANNUKE
    assert {PANNUKE[kind] for kind in found.kind} == {"inflammatory"}
    near = KDTree(found.centres_um).query([place[:2] for place in places])[0]
    assert near.max() < 1
    assert sorted(found.area_um2)[-1] == pytest.approx(np.pi * 36, rel=0.1)


def test_hovernet_sees_patches_that_are_narrower_than_its_margin(tiatoolbox):
    """20 µm are 80 px, and 130 px are added on one side."""
    found = find_nuclei(HoverNetFinder(), drawn([(56, 56, 17, 17, 0)])[None], 20.0)
    assert found.counts.tolist() == [1]
    np.testing.assert_allclose(found.centres_um, [[10, 10]], atol=0.3)


def test_without_tiatoolbox_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tiatoolbox", None)
    with pytest.raises(InputError, match="tiatoolbox is not here"):
        HoverNetFinder()


@pytest.fixture(scope="module")
def section(tmp_path_factory):
    directory = tmp_path_factory.mktemp("section")
    simulate_tissue(directory, spots=(5, 5), genes=20, seed=3)
    return read(directory, size=16)


def ellipse(centre, along, across):
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    return (centre + np.column_stack([along * np.cos(angles), across * np.sin(angles)])).tolist()


def written(path, outlines):
    """The same nuclei as CellViT's JSON, its GeoJSON and HEST's zip."""
    if path.name == "cells.json":
        cells = [
            {"contour": points, "type": kind, "centroid": points[0]} for kind, points in outlines
        ]
        content = {"type_map": {"1": "Neoplastic", "2": "Inflammatory"}, "cells": cells}
    else:
        names = {1: "Neoplastic", 2: "Inflammatory"}
        content = [
            {
                "type": "Feature",
                "geometry": {
                    "type": "MultiPolygon",
                    "coordinates": [[p] for k, p in outlines if k == kind],
                },
                "properties": {"classification": {"name": name}},
            }
            for kind, name in names.items()
        ]
    text = json.dumps(content)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("SIM_cellvit_seg.geojson", text)
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["cells.json", "cells.geojson", "SIM_cellvit_seg.geojson.zip"])
def test_cellvit_files_give_the_nuclei_of_the_patches(tmp_path, section, name):
    spot, mpp = section.centres_um[7], section.mpp
    places = [
        (1, spot + np.array([10, -20])),
        (2, spot + np.array([-30, 5])),
        (2, np.array([-500.0, -500])),
    ]
    outlines = [(kind, ellipse(place / mpp, 8 / mpp, 4 / mpp)) for kind, place in places]
    outlined = read_cellvit(written(tmp_path / name, outlines), section)
    found = outlined.nuclei(("Inflammatory", "Neoplastic"))
    mine = found.patch == 7
    assert mine.sum() == 2
    # Drawn as areas and measured anew they are the same.
    again = nuclei.measure_nuclei(outlined.segment(np.array([7]), found.kinds), found.kinds, UM)
    np.testing.assert_allclose(again.centres_um, found.centres_um[mine], atol=0.3)
    np.testing.assert_allclose(again.area_um2, found.area_um2[mine], rtol=0.05)
    assert again.kind.tolist() == found.kind[mine].tolist()
    order = np.argsort(found.centres_um[mine][:, 0])
    np.testing.assert_allclose(found.centres_um[mine][order], [[26, 61], [66, 36]], atol=0.01)
    np.testing.assert_allclose(found.area_um2[mine], np.pi * 32, rtol=0.01)
    np.testing.assert_allclose(found.eccentricity[mine], np.sqrt(0.75), atol=0.01)
    assert [found.kinds[k] for k in found.kind[mine][order]] == ["Inflammatory", "Neoplastic"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "no readable file"),
        ("[]", "holds no nuclei"),
        ('{"cells": [{"type": 1, "contour": [[0, 0]]}]}', r"cells\[0\] is no outline"),
        ('{"cells": [{"type": 1}]}', r"cells.json: cells\[0\] has no 'contour'"),
        ('[{"geometry": {"type": "Polygon"}}]', r"features\[0\].geometry has no 'coordinates'"),
        ("3", "features is no list"),
        ('{"cells": null}', "cells is no list"),
        ('{"cells": [], "type_map": [1]}', "type_map is no object"),
        ('[{"geometry": {"type": "Polygon", "coordinates": []}}]', "is no outline"),
        ('[{"geometry": {"type": "MultiPolygon", "coordinates": null}}]', "is no list"),
        ('{"cells": [{"type": 1, "contour": [[0, 0], [NaN, 0], [4, 4]]}]}', "not finite"),
        ('{"cells": [{"type": 1, "contour": [[-9, -9], [-8, -9], [-8, -8]]}]}', "no nucleus in"),
    ],
)
def test_files_that_are_of_no_use_say_why(tmp_path, section, content, named):
    path = tmp_path / "cells.json"
    path.write_text(content)
    with pytest.raises(InputError, match=named):
        read_cellvit(path, section)


@pytest.mark.parametrize(
    "properties", ["null", "{}", '{"classification": null}', '{"classification": {}}']
)
def test_a_nucleus_without_a_type_is_a_nucleus(tmp_path, properties):
    path = tmp_path / "cells.geojson"
    geometry = '{"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4]]]}'
    path.write_text(f'[{{"geometry": {geometry}, "properties": {properties}}}]')
    assert [kind for kind, _ in read_outlines(path)] == ["nucleus"]


def test_cellvit_finds_on_the_written_patches_what_is_read_back_for_them(tmp_path):
    places = [[(30, 70, 8, 4, 0.0)], [], [(60, 40, 6, 6, 0.0), (100, 100, 4, 4, 0.0)]]
    sets = {"synthetic": np.stack([drawn(some, size=32) for some in places])}
    folder = tmp_path / "cellvit"
    with pytest.raises(InputError, match=r"synthetic.*run CellViT on SET\.tiff at 0\.25"):
        CellVitNuclei(folder, sets, UM, {})
    grid = TileGrid(3, UM)
    slide = tifffile.imread(folder / "synthetic.tiff")
    assert grid.columns == 2 and slide.shape == (2 * 512, 2 * 512, 3)
    # A nucleus lies where its patch does: dark there, and read back to where it was drawn.
    assert slide[32 + 70 * 4, 32 + 30 * 4].sum() < slide[32 + 40, 32 + 40].sum() - 150
    outlines = [
        (1, ellipse([32 + 30 * 4, 32 + 70 * 4], 32, 16)),
        (2, ellipse([32 + 60 * 4, 512 + 32 + 40 * 4], 24, 24)),
        (2, ellipse([16, 512 + 200], 8, 8)),
    ]
    (folder / "synthetic").mkdir()
    written(folder / "synthetic" / "cells.json", outlines)
    read_back = CellVitNuclei(folder, sets, UM, {})
    assert read_back.kinds == ("Inflammatory", "Neoplastic")
    found = read_back.nuclei("synthetic")
    assert found.counts.tolist() == [1, 0, 1] and found.kind.tolist() == [1, 0]
    np.testing.assert_allclose(found.centres_um, [[30, 70], [60, 40]], atol=0.01)
    np.testing.assert_allclose(found.area_um2, [np.pi * 32, np.pi * 36], rtol=0.01)
    with pytest.raises(InputError, match="of other patches"):
        CellVitNuclei(folder, {"synthetic": 255 - sets["synthetic"]}, UM, {})


def test_a_segmentation_without_some_numbers_is_measured_without_them():
    labels = np.zeros((1, 8, 8), dtype=int)
    labels[0, 2:4, 2:4] = 3
    found = nuclei.measure_nuclei(Segmentation(labels, np.array([0, 0, 1])), ("a", "b"), 8.0)
    assert len(found) == 1 and found.kind.tolist() == [1] and found.area_um2.tolist() == [4]
    np.testing.assert_allclose(found.centres_um, [[3, 3]])
