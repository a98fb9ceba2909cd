from __future__ import annotations

import dataclasses
import json
import shutil

import anndata
import h5py
import numpy as np
import pytest

from c2lst.data import embedded as embedded_slides
from c2lst.data import overlay
from c2lst.data.embedded import write_slide
from c2lst.data.patches import Patches
from c2lst.data.section import Section, available_sections
from c2lst.errors import InputError


def _files(directory):
    return sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file())


def _renamed(section, name):
    return dataclasses.replace(section, name=name)


@pytest.fixture
def saved(small_section, tmp_path):
    small_section.save(tmp_path / "out")
    return tmp_path / "out"


def test_a_section_survives_the_disk(small_section, saved):
    loaded = Section.load(saved)
    assert loaded.name == small_section.name
    assert loaded.content_hash == small_section.content_hash
    assert (loaded.mpp, loaded.pitch_um) == (small_section.mpp, small_section.pitch_um)
    assert loaded.patches.patch_um == small_section.patches.patch_um
    assert np.array_equal(loaded.centres_px, small_section.centres_px)
    assert np.array_equal(loaded.patches[:], small_section.patches[:])
    assert loaded.image_path == small_section.image_path.absolute()
    assert loaded.adata.obs.equals(small_section.adata.obs)
    assert loaded.reading == small_section.reading
    assert loaded.metadata["st_technology"] == "Spatial Transcriptomics"
    before, after = (s.adata.uns["spatial"]["ST"] for s in (small_section, loaded))
    assert after["scalefactors"] == before["scalefactors"]
    assert all(
        np.array_equal(after["images"][key], before["images"][key]) for key in before["images"]
    )


def test_the_layout_is_that_of_hest_key_by_key(small_section, saved):
    assert _files(saved) == [
        "metadata/S1.json", "patches/S1.h5", "spatial_plots/S1_spatial_plots.png", "st/S1.h5ad",
    ]  # fmt: skip
    n, width = len(small_section), 112.0 / small_section.mpp
    with h5py.File(saved / "patches/S1.h5") as file:
        assert file["img"].shape == (n, 32, 32, 3) and file["img"].dtype == np.uint8
        assert file["barcode"].shape == (n, 1)
        assert [b.decode() for b in file["barcode"][:, 0]] == small_section.barcodes.tolist()
        assert file["coords"].dtype == np.int64
        assert np.allclose(file["coords"][()], small_section.centres_px - width / 2)
        attributes = dict(file["img"].attrs)
        assert dict(file["coords"].attrs) == attributes
    assert attributes["patch_size_src"] == round(width)
    assert attributes["patch_size_target"] == 32
    assert attributes["downsample"] == pytest.approx(width / 32)
    assert attributes["pixel_size"] == pytest.approx(small_section.mpp)
    adata = anndata.read_h5ad(saved / "st/S1.h5ad")
    assert list(adata.uns["spatial"]) == ["ST"]
    assert set(adata.obs) >= {
        "in_tissue", "array_row", "array_col", "pxl_col_in_fullres", "pxl_row_in_fullres",
    }  # fmt: skip
    assert np.array_equal(
        adata.obsm["spatial"], adata.obs[["pxl_col_in_fullres", "pxl_row_in_fullres"]]
    )
    metadata = json.loads((saved / "metadata/S1.json").read_text())
    assert metadata["pixel_size_um_estimated"] == small_section.mpp
    assert metadata["inter_spot_dist"] == 200.0
    assert metadata["spot_diameter"] == pytest.approx(100.0)


def test_patches_stay_in_their_file_until_asked_for(small_section, saved):
    loaded = Section.load(saved)
    assert not isinstance(loaded.patches.images, np.ndarray)
    wanted = np.array([7, 3, 3, 70])
    assert np.array_equal(loaded.patches[wanted], small_section.patches[wanted])
    assert np.array_equal(loaded.patches[5], small_section.patches[5])
    part = loaded.subset(loaded.barcodes[[9, 2]])
    assert not isinstance(part.patches.images, np.ndarray)
    assert np.array_equal(part.patches[:], small_section.patches[[9, 2]])
    assert part.patches[np.array([], dtype=int)].shape == (0, 32, 32, 3)


def test_a_subset_keeps_the_order_asked_for(small_section):
    barcodes = small_section.barcodes[[5, 1, 30]]
    part = small_section.subset(barcodes)
    assert part.barcodes.tolist() == barcodes.tolist()
    assert np.array_equal(part.centres_px, small_section.centres_px[[5, 1, 30]])
    assert np.array_equal(part.counts.toarray(), small_section.counts.toarray()[[5, 1, 30]])
    assert np.array_equal(part.patches[:], small_section.patches[[5, 1, 30]])


def test_an_unknown_barcode_is_refused(small_section):
    with pytest.raises(InputError, match="99x99"):
        small_section.subset(["1x1", "99x99"])


def test_units(small_section):
    assert np.allclose(small_section.centres_um, small_section.centres_px * small_section.mpp)
    assert np.array_equal(small_section.library_size, small_section.counts.toarray().sum(axis=1))


def test_the_hash_is_of_barcodes_genes_and_counts(small_section):
    def changed(change):
        adata = small_section.adata.copy()
        change(adata)
        return dataclasses.replace(small_section, adata=adata).content_hash

    def more(adata):
        adata.X[0, 0] += 1

    def renamed(adata):
        adata.obs_names = ["other", *adata.obs_names[1:]]

    def other_gene(adata):
        adata.var_names = ["other", *adata.var_names[1:]]

    def explicit_zero(adata):
        dense = adata.X.tocoo()
        row, column = np.argwhere(adata.X.toarray() == 0)[0]
        adata.X = type(dense)(
            (np.append(dense.data, 0), (np.append(dense.row, row), np.append(dense.col, column))),
            shape=dense.shape,
        ).tocsr()

    same = small_section.content_hash
    assert changed(lambda adata: None) == same
    assert changed(explicit_zero) == same
    assert len({same, changed(more), changed(renamed), changed(other_gene)}) == 4


def _counts(value):
    def change(adata):
        adata.X[2, 3] = value

    return change


def _assign(key, value):
    return lambda adata: adata.obsm.__setitem__(key, value(adata))


def _nan_place(adata):
    places = adata.obsm["spatial"].copy()
    places[4, 1] = np.nan
    return places


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_counts(-1), "negative"),
        (_counts(0.5), "whole"),
        (_counts(np.nan), "not a number"),
        (_counts(np.inf), "not a number"),
        (lambda a: setattr(a, "X", a.X.toarray()), "CSR"),
        (lambda a: setattr(a, "obs_names", ["1x1"] * a.n_obs), "barcode"),
        (lambda a: setattr(a, "var_names", ["G"] * a.n_vars), "gene"),
        (_assign("spatial", _nan_place), "not finite"),
        (_assign("spatial", lambda a: np.zeros((a.n_obs, 3))), "shape"),
        (lambda a: a.obsm.pop("spatial"), "spatial"),
        (lambda a: a.obs.pop("array_row"), "array_row"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_no_section_is_refused(small_section, change, words):
    adata = small_section.adata.copy()
    change(adata)
    with pytest.raises(InputError, match=words) as caught:
        dataclasses.replace(small_section, adata=adata)
    assert "'S1'" in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [{"mpp": 0}, {"mpp": np.nan}, {"pitch_um": -1}, {"name": ""}, {"name": "a/b"}],
)
def test_lengths_and_names_are_checked(small_section, fields):
    with pytest.raises(InputError):
        dataclasses.replace(small_section, **fields)


def test_a_patch_too_few_is_refused(small_section):
    patches = Patches(small_section.patches[:-1], 112.0)
    with pytest.raises(InputError, match="differ in number"):
        dataclasses.replace(small_section, patches=patches)


def test_no_spots_are_no_section(small_section):
    with pytest.raises(InputError, match="empty"):
        small_section.subset([])


def test_two_sections_share_a_folder(small_section, saved):
    other = _renamed(small_section, "S2")
    other.save(saved)
    assert available_sections(saved) == ["S1", "S2"]
    for name in ("S1", "S2"):
        assert Section.load(saved, name).content_hash == small_section.content_hash
    with pytest.raises(InputError, match="S1, S2"):
        Section.load(saved)
    with pytest.raises(InputError, match="S3"):
        Section.load(saved, "S3")


def test_a_section_is_saved_over_itself(small_section, saved):
    Section.load(saved).subset(small_section.barcodes[:5]).save(saved)
    assert len(Section.load(saved)) == 5
    assert np.array_equal(Section.load(saved).patches[:], small_section.patches[:5])


def test_a_slide_that_came_inside_another_file_is_taken_along(small_section, tmp_path):
    pixels = small_section.open_image().thumbnail(10**6)
    slide = write_slide("S1", pixels, mpp=small_section.mpp)
    section = dataclasses.replace(small_section, image_path=slide)
    section.save(tmp_path / "out")
    shutil.rmtree(slide.parent)
    (tmp_path / "out").rename(tmp_path / "moved")
    loaded = Section.load(tmp_path / "moved")
    assert loaded.image_path == tmp_path / "moved/wsis/S1.tif"
    with loaded.open_image() as image:
        assert np.array_equal(image.read(0, 0, image.width, image.height), pixels)
        assert image.mpp == pytest.approx(small_section.mpp)
    loaded.save(tmp_path / "moved")
    assert Section.load(tmp_path / "moved").open_image().width == pixels.shape[1]


def test_a_slide_and_contours_that_the_user_put_there_are_kept(small_section, saved):
    for name in ("wsis/S1.tif", "tissue_seg/S1_contours.geojson"):
        (saved / name).parent.mkdir()
        (saved / name).write_text("theirs")
    small_section.save(saved)
    _renamed(small_section, "S2").save(saved)
    for name in ("wsis/S1.tif", "tissue_seg/S1_contours.geojson"):
        assert (saved / name).read_text() == "theirs"
    assert Section.load(saved, "S1").contours == saved / "tissue_seg/S1_contours.geojson"


@pytest.fixture
def embedded(small_section):
    """The section with a slide that came inside another file, of other pixels than its own."""
    pixels = 255 - small_section.open_image().thumbnail(10**6)
    slide = write_slide("S1", pixels, mpp=small_section.mpp)
    return dataclasses.replace(small_section, image_path=slide)


def test_a_slide_of_an_older_image_is_not_left_behind(small_section, embedded, tmp_path):
    embedded.save(tmp_path)
    _renamed(embedded, "S2").save(tmp_path)
    small_section.save(tmp_path)
    assert _files(tmp_path / "wsis") == ["S2.tif"]
    assert Section.load(tmp_path, "S1").image_path == small_section.image_path.absolute()
    assert Section.load(tmp_path, "S2").image_path == tmp_path / "wsis/S2.tif"


@pytest.mark.parametrize("name", ["wsis/S1.tif", "tissue_seg/S1_contours.geojson"])
def test_what_a_user_put_there_for_another_image_is_refused_and_stays(embedded, saved, name):
    (saved / name).parent.mkdir()
    (saved / name).write_text("theirs")
    with pytest.raises(InputError, match=rf"{name}: belongs to another image.*move it"):
        embedded.save(saved)
    assert (saved / name).read_text() == "theirs"


def test_a_slide_that_a_user_put_there_is_used_and_saved_with_the_section(small_section, tmp_path):
    gone = tmp_path / "gone.png"
    shutil.copy(small_section.image_path, gone)
    dataclasses.replace(small_section, image_path=gone).save(tmp_path / "out")
    (tmp_path / "out/wsis").mkdir()
    gone.rename(tmp_path / "out/wsis/S1.tif")
    Section.load(tmp_path / "out").save(tmp_path / "out")
    small_section.save(tmp_path / "out")
    assert (tmp_path / "out/wsis/S1.tif").read_bytes() == small_section.image_path.read_bytes()


def test_what_a_mac_leaves_beside_a_section_is_no_section(saved):
    (saved / "st/._S1.h5ad").write_bytes(b"resource")
    (saved / "._st").write_bytes(b"resource")
    assert available_sections(saved) == ["S1"]
    assert Section.load(saved).name == "S1"


def test_the_picture_shows_the_spots(small_section, tmp_path):
    from PIL import Image

    small_section.draw(tmp_path / "o.png")
    pixels = np.asarray(Image.open(tmp_path / "o.png"))
    cyan = (pixels == overlay.ON_TISSUE).all(axis=-1)
    assert cyan.sum() > 20 * len(small_section)
    library = small_section.adata.uns["spatial"]["ST"]
    scale = library["scalefactors"]["tissue_hires_scalef"]
    x, y = small_section.centres_px[30] * scale
    radius = library["scalefactors"]["spot_diameter_fullres"] * scale / 2
    top = pixels.shape[0] - library["images"]["hires"].shape[0]
    ring = cyan[int(top + y) - 2 : int(top + y) + 2, int(x - radius) - 3 : int(x - radius) + 4]
    assert ring.any()


def test_a_folder_of_someone_else_is_not_replaced(small_section, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        small_section.save(tmp_path)
    assert _files(tmp_path) == ["thesis.txt"]


def test_real_hest_files_are_not_replaced_either(small_section, saved):
    (saved / "st" / "TENX13.h5ad").write_bytes(b"theirs")
    with pytest.raises(InputError, match="TENX13"):
        small_section.save(saved)
    assert (saved / "st" / "TENX13.h5ad").read_bytes() == b"theirs"


def test_a_kill_leaves_the_old_section_whole(small_section, saved, monkeypatch):
    monkeypatch.setattr(
        anndata.AnnData, "write_h5ad", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        small_section.subset(small_section.barcodes[:5]).save(saved)
    monkeypatch.undo()
    assert len(Section.load(saved)) == len(small_section)
    assert [p.name for p in saved.parent.iterdir()] == ["out"]


def test_a_missing_image_is_said_when_it_is_needed(small_section, saved):
    loaded = dataclasses.replace(Section.load(saved), image_path=saved / "gone.png")
    with pytest.raises(InputError, match=r"gone\.png"):
        loaded.open_image()
    assert Section.load(saved).open_image().width == small_section.open_image().width


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _edit_json(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def _edit_h5(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def _ours(**changes):
    return lambda path: _edit_json(path, lambda value: value["c2lst"].update(changes))


def _theirs(**changes):
    return lambda path: _edit_json(path, lambda value: value.update(changes))


def _without_pixel_size(path):
    _edit_json(path, lambda value: value.pop("pixel_size_um_estimated"))


def _swap(file):
    corners = file["coords"][()]
    file["coords"][...] = corners[:, ::-1] + [300, -300]


def _drop_barcode(file):
    values = file["barcode"][:-1]
    del file["barcode"]
    file["barcode"] = values


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("st/S1.h5ad", lambda p: p.unlink(), "holds no|which|not here"),
        ("st/S1.h5ad", _truncate, "no readable AnnData"),
        ("st/S1.h5ad", lambda p: p.write_text("hello"), "no readable AnnData"),
        ("patches/S1.h5", lambda p: p.unlink(), "no such patch file"),
        ("patches/S1.h5", _truncate, "readable HDF5|damaged"),
        ("patches/S1.h5", lambda p: p.write_text("hello"), "HDF5"),
        ("patches/S1.h5", lambda p: _edit_h5(p, lambda f: f.pop("img")), "img"),
        ("patches/S1.h5", lambda p: _edit_h5(p, lambda f: f.pop("barcode")), "barcode"),
        ("patches/S1.h5", lambda p: _edit_h5(p, _drop_barcode), "does not match"),
        ("patches/S1.h5", lambda p: _edit_h5(p, _swap), "elsewhere"),
        ("metadata/S1.json", lambda p: p.unlink(), "no such file"),
        ("metadata/S1.json", _truncate, "JSON"),
        ("metadata/S1.json", _without_pixel_size, "pixel_size"),
        ("metadata/S1.json", _theirs(pixel_size_um_estimated=None), "null"),
        ("metadata/S1.json", _theirs(pixel_size_um_estimated="1"), "no length"),
        ("metadata/S1.json", _ours(content_hash="0" * 64), "not those"),
        ("metadata/S1.json", _ours(format=9), "format"),
        ("metadata/S1.json", _theirs(c2lst={"format": 1}), "c2lst"),
    ],
)  # fmt: skip
def test_a_damaged_folder_is_refused_by_file(small_section, tmp_path, file, damage, words):
    small_section.save(tmp_path / "out")
    damage(tmp_path / "out" / file)
    with pytest.raises(InputError, match=words):
        Section.load(tmp_path / "out").patches[:]


def test_a_folder_without_sections_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no section"):
        Section.load(tmp_path)


def test_saving_leaves_the_slide_alone(small_legacy, small_section, saved, tmp_path):
    before = {p.name: p.stat().st_mtime_ns for p in small_legacy.iterdir()}
    shutil.rmtree(saved)
    small_section.save(saved)
    assert before == {p.name: p.stat().st_mtime_ns for p in small_legacy.iterdir()}


@pytest.mark.filterwarnings("ignore")
def test_scanpy_draws_it_unchanged(saved):
    import matplotlib as mpl

    mpl.use("Agg")
    scanpy = pytest.importorskip("scanpy")
    import matplotlib.pyplot as plt

    adata = anndata.read_h5ad(saved / "st/S1.h5ad")
    for key in ("hires", "lowres", "downscaled_fullres"):
        axes = scanpy.pl.spatial(adata, img_key=key, color="G0", show=False)
        shown = axes[0].get_images()[0].get_array()
        scale = adata.uns["spatial"]["ST"]["scalefactors"][f"tissue_{key}_scalef"]
        assert np.array_equal(shown.shape[:2], adata.uns["spatial"]["ST"]["images"][key].shape[:2])
        assert scale == pytest.approx(max(shown.shape[:2]) / 1000)
        plt.close("all")


@pytest.mark.filterwarnings("ignore")
def test_squidpy_draws_it_unchanged(saved):
    import matplotlib as mpl

    mpl.use("Agg")
    squidpy = pytest.importorskip("squidpy")
    import matplotlib.pyplot as plt

    squidpy.pl.spatial_scatter(anndata.read_h5ad(saved / "st/S1.h5ad"), color="G0")
    assert plt.gca().get_images()
    plt.close("all")


def test_a_slide_too_large_for_a_classic_tiff_is_written_as_bigtiff():
    class Stop(Exception):  # noqa: N818
        pass

    class Large:
        shape = (60_000, 60_000, 3)

        def __getitem__(self, rows):
            raise Stop

    with pytest.raises(Stop):
        write_slide("large", Large())
    (path,) = embedded_slides._folder().rglob("large.tif")
    assert path.read_bytes()[:4] == b"II+\0"


def test_a_slide_whose_name_is_no_file_name_is_written():
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    assert write_slide("lung/1", pixels).is_file()


def test_a_link_to_a_folder_of_slides_is_not_lost(small_section, saved, tmp_path):
    (tmp_path / "slides").mkdir()
    (saved / "wsis").symlink_to(tmp_path / "slides")
    with pytest.raises(InputError, match=r"did not write.*wsis"):
        _renamed(small_section, "S2").save(saved)
    assert (saved / "wsis").is_symlink()


def test_a_section_named_as_synthetic_pairs_are_is_not_saved(small_section, tmp_path):
    with pytest.raises(InputError, match=r"'S_synthetic'.*passed over.*--section"):
        _renamed(small_section, "S_synthetic").save(tmp_path / "out")


def test_contours_of_a_source_stay_its_own_file(small_section, tmp_path):
    theirs = tmp_path / "theirs.geojson"
    theirs.write_text("{}")
    theirs.chmod(0o400)
    section = small_section.subset(small_section.barcodes[:2])
    dataclasses.replace(section, contours=theirs).save(tmp_path / "out")
    assert theirs.stat().st_mode & 0o777 == 0o400
    copied = tmp_path / "out/tissue_seg/S1_contours.geojson"
    assert copied.read_text() == "{}" and not copied.samefile(theirs)
    Section.load(tmp_path / "out").save(tmp_path / "out")
    assert copied.read_text() == "{}"
