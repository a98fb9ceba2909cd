from __future__ import annotations

import json
import shutil

import anndata
import h5py
import numpy as np
import pytest

from c2lst.data.patch_file import PatchFile
from c2lst.data.patches import SlidePatches
from c2lst.data.readers import read
from c2lst.errors import InputError
from miniatures.hest import METADATA, write_hest


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write_hest(tmp_path_factory.mktemp("hest"))


@pytest.fixture
def sample(truth, tmp_path):
    """A sample that a test may change."""
    folder = shutil.copytree(truth.folder, tmp_path / "sample")
    return type(truth)(**{**vars(truth), "folder": folder})


def _stored(truth):
    """Patch by barcode, as the file has it."""
    with h5py.File(truth.part("patches")) as file:
        key = "barcode" if "barcode" in file else "barcodes"
        names = [value.decode() for value in file[key][:, 0]]
        return dict(zip(names, file["img"][()], strict=True))


def _check(section, truth):
    names = np.array(truth.barcodes)[truth.joined]
    assert section.barcodes.tolist() == names.tolist()
    assert np.array_equal(section.counts.toarray(), truth.counts[truth.joined])
    assert np.array_equal(section.centres_px, truth.centres_px[truth.joined])
    stored = _stored(truth)
    assert all(
        np.array_equal(patch, stored[name])
        for name, patch in zip(names, section.patches[:], strict=True)
    )
    assert section.patches.patch_um == pytest.approx(112.0, rel=0.005)


@pytest.mark.parametrize("plural", [False, True])
@pytest.mark.parametrize(("release", "size"), [("new", 224), ("old", 256), ("bare", 256)])
@pytest.mark.parametrize("mpp", [1.0, 0.83])
def test_patches_are_joined_on_barcode(tmp_path, plural, release, size, mpp):
    truth = write_hest(tmp_path, plural=plural, release=release, size=size, mpp=mpp, slide=False)
    section = read(tmp_path, size=size)
    _check(section, truth)
    assert (section.mpp, section.pitch_um) == (mpp, 100.0)
    assert section.adata.X.format == "csr"


def test_the_width_of_the_first_releases_is_that_of_all(tmp_path, caplog):
    truth = write_hest(tmp_path, release="old", size=256, slide=False)
    with h5py.File(truth.part("patches"), "r+") as file:
        file["img"].attrs.clear()
    assert read(tmp_path, size=256).patches.patch_um == pytest.approx(112.0)
    assert "does not state the width" in caplog.text


def test_metadata_is_kept_and_nan_is_none(truth):
    section = read(truth.folder)
    assert section.metadata["pixel_size_um_embedded"] is None
    for key in ("patient", "st_technology", "oncotree_code", "organ", "subseries"):
        assert section.metadata[key] == METADATA[key]
    assert section.contours == truth.part("tissue_seg")
    assert section.image_path == truth.part("wsis")
    assert section.reading["mpp_from"] == "from pixel_size_um_estimated"
    assert section.reading["spots_on_tissue"] <= len(section)


def _tree(file):
    found = {}

    def note(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = item

    file.visititems(note)
    return found


def _same_h5(ours, theirs, keys):
    for key in keys:
        a, b = ours[key], theirs[key]
        assert a.dtype == b.dtype, key
        assert a.shape[1:] == b.shape[1:], key
        assert dict(a.attrs) == pytest.approx(dict(b.attrs)), key


@pytest.mark.parametrize("mpp", [1.0, 0.83])
def test_what_is_written_is_hest_key_by_key(tmp_path, mpp):
    """Read, save, and compare all that the original's files hold with ours."""
    truth = write_hest(tmp_path / "theirs", mpp=mpp)
    read(truth.folder).save(tmp_path / "ours")
    ours = type(truth)(**{**vars(truth), "folder": tmp_path / "ours"})
    rows = np.array(truth.barcodes)[truth.joined].tolist()

    with h5py.File(truth.part("patches")) as a, h5py.File(ours.part("patches")) as b:
        assert set(a) == set(b) == {"img", "coords", "barcode"}
        _same_h5(b, a, a)
        order = [a["barcode"].asstr()[:, 0].tolist().index(name) for name in rows]
        assert b["barcode"].asstr()[:, 0].tolist() == rows
        assert np.array_equal(b["img"][()], a["img"][()][order])
        assert np.array_equal(b["coords"][()], a["coords"][()][order])
        assert b["img"].chunks == a["img"].chunks

    a, b = (anndata.read_h5ad(t.part("st")) for t in (truth, ours))
    a = a[rows]
    assert b.obs_names.tolist() == rows and b.var_names.equals(a.var_names)
    assert b.X.dtype == a.X.dtype and np.array_equal(b.X.toarray(), a.X.toarray())
    assert b.obs.equals(a.obs) and b.var.equals(a.var)
    assert b.obsm["spatial"].dtype == a.obsm["spatial"].dtype
    assert np.array_equal(b.obsm["spatial"], a.obsm["spatial"])
    assert list(b.uns["spatial"]) == ["ST"]
    a, b = (x.uns["spatial"]["ST"] for x in (a, b))
    assert np.array_equal(a["images"]["downscaled_fullres"], b["images"]["downscaled_fullres"])
    assert a["scalefactors"].items() <= b["scalefactors"].items()

    a, b = (json.loads(t.part("metadata").read_text()) for t in (truth, ours))
    assert set(b) == {*a, "c2lst"}
    assert b.pop("c2lst")["kind"] == "section"
    assert a.pop("pixel_size_um_embedded") != b.pop("pixel_size_um_embedded")  # NaN is no JSON
    b.pop("c2lst", None)
    assert a == b
    assert ours.part("tissue_seg").read_bytes() == truth.part("tissue_seg").read_bytes()


def test_hests_own_readers_find_what_they_ask_for(truth, tmp_path):
    """Steps of ``hest.load_hest`` and of HEST's benchmark, on a section of ours."""
    read(truth.folder).save(tmp_path)
    adata = anndata.read_h5ad(tmp_path / "st/T1.h5ad")
    assert "spatial" in adata.obsm
    assert adata.uns["spatial"]["ST"]["images"]["downscaled_fullres"].dtype == np.uint8
    assert json.loads((tmp_path / "metadata/T1.json").read_text())["pixel_size_um_estimated"] == 1.0
    with h5py.File(tmp_path / "patches/T1.h5") as file:
        barcodes = file["barcode"][:].flatten().astype(str).tolist()
        assert file["img"][0].shape == (224, 224, 3)
        assert file["coords"][0].dtype.kind == "i"
    assert adata[barcodes].to_df().to_numpy().sum() == truth.counts[truth.joined].sum()


def test_ours_is_read_again_as_it_was(truth, tmp_path):
    section = read(truth.folder, size=32)
    section.save(tmp_path / "ours")
    again = read(tmp_path / "ours", size=32)
    assert again.content_hash == section.content_hash
    assert np.array_equal(again.patches[:], section.patches[:])
    assert again.reading == section.reading and again.metadata == section.metadata


@pytest.mark.parametrize("wanted", [{"patches": False}, {"patch_um": 150.0}, {"size": 256}])
def test_patches_are_cut_from_the_slide_where_none_are_stored_or_too_small(tmp_path, wanted):
    truth = write_hest(tmp_path, patches=wanted.pop("patches", True), mpp=0.4)
    section = read(tmp_path, **wanted)
    assert isinstance(section.patches.images, SlidePatches)
    assert len(section) == (truth.counts.sum(axis=1) > 0).sum()
    assert section.patches.patch_um == wanted.get("patch_um", 112.0)
    section.save(tmp_path / "ours")
    assert np.array_equal(read(tmp_path / "ours", **wanted).patches[:], section.patches[:])


def test_cut_patches_show_what_the_stored_ones_do(tmp_path):
    """The stored patches of HEST are cut in whole px, ours to a fraction of one."""
    truth = write_hest(tmp_path / "a", mpp=0.5)
    shutil.copytree(truth.folder, tmp_path / "b")
    (tmp_path / "b/patches/T1.h5").unlink()
    stored, cut = read(tmp_path / "a"), read(tmp_path / "b")
    assert isinstance(stored.patches.images, PatchFile)
    inner = truth.centres_px[[10, 30]]
    names = [truth.barcodes[i] for i in (10, 30)]
    assert (inner > 112).all()
    a, b = (s.subset(names).patches[:].astype(int) for s in (stored, cut))
    assert np.abs(a - b).mean() < 2


def test_patches_are_resampled_and_cropped_when_asked(truth):
    whole, small = read(truth.folder), read(truth.folder, size=16)
    narrow = read(truth.folder, size=112, patch_um=56.0)
    assert small.patches[:].shape[1:] == (16, 16, 3)
    assert small.patches[0].mean() == pytest.approx(whole.patches[0].mean(), abs=1)
    assert narrow.patches.patch_um == 56.0
    assert np.array_equal(narrow.patches[0], whole.patches[0][56:168, 56:168])


def test_wider_patches_than_stored_need_a_slide(sample):
    sample.part("wsis").unlink()
    with pytest.raises(InputError, match="narrower than asked for"):
        read(sample.folder, patch_um=150.0)
    sample.part("patches").unlink()
    with pytest.raises(InputError, match="neither patches nor a slide"):
        read(sample.folder)


@pytest.mark.parametrize(("factor", "fits"), [(1.04, True), (0.96, True), (1.06, False)])
def test_a_scale_that_contradicts_the_pitch_is_refused(tmp_path, factor, fits, caplog):
    write_hest(tmp_path, release="bare", stated_mpp=factor, slide=False)
    if fits:
        assert read(tmp_path, size=64, patch_um=100.0).mpp == factor
        return
    with pytest.raises(InputError, match=r"1\.06 from pixel_size.*disagree|disagree.*1\.06"):
        read(tmp_path, size=64)
    assert read(tmp_path, size=64, mpp=1.0).mpp == 1.0
    assert "as told" in caplog.text


def test_patches_of_another_scale_are_refused(sample):
    with h5py.File(sample.part("patches"), "r+") as file:
        file["img"].attrs["pixel_size"] = 0.25
    with pytest.raises(InputError, match=r"0\.25 from patches/T1\.h5"):
        read(sample.folder)


def test_the_thumbnail_gets_the_keys_that_plots_look_for(truth):
    entry = read(truth.folder).adata.uns["spatial"]["ST"]
    assert set(entry["images"]) == {"downscaled_fullres", "hires", "lowres"}
    assert entry["scalefactors"]["tissue_hires_scalef"] == pytest.approx(0.25, rel=0.01)


def test_columns_that_hest_leaves_out_for_pseudo_spots_are_counted_off(sample):
    adata = anndata.read_h5ad(sample.part("st"))
    adata.obs = adata.obs[["total_counts"]]
    adata.write_h5ad(sample.part("st"))
    section = read(sample.folder)
    obs, centres = section.adata.obs, section.centres_px
    assert np.array_equal(obs["pxl_col_in_fullres"], centres[:, 0])
    assert np.corrcoef(obs["array_row"], centres[:, 1])[0, 1] > 0.98
    assert np.corrcoef(obs["array_col"], centres[:, 0])[0, 1] > 0.98


@pytest.mark.parametrize("path", ["", "T1", "st/T1.h5ad"])
def test_a_section_is_found_by_folder_name_or_file(truth, path):
    assert read(truth.folder / path, size=32).name == "T1"


def test_of_several_samples_one_is_chosen(sample):
    write_hest(sample.folder, "T2", seed=2)
    with pytest.raises(InputError, match=r"which section.*T1, T2.*--section"):
        read(sample.folder)
    assert read(sample.folder, section="T2", size=16).name == "T2"
    assert read(sample.folder / "T2", size=16).name == "T2"


def test_exchanged_axes_are_refused(sample):
    adata = anndata.read_h5ad(sample.part("st"))
    adata.obsm["spatial"] = adata.obsm["spatial"][:, ::-1].copy()
    adata.write_h5ad(sample.part("st"))
    with pytest.raises(InputError, match="x and y exchanged"):
        read(sample.folder)


def test_a_turned_slide_is_refused_by_its_thumbnail(sample, tmp_path):
    adata = anndata.read_h5ad(sample.part("st"))
    images = adata.uns["spatial"]["ST"]["images"]
    images["downscaled_fullres"] = images["downscaled_fullres"][:, ::-1].copy()
    adata.write_h5ad(sample.part("st"))
    with pytest.raises(InputError, match="mirror the image left to right") as caught:
        read(sample.folder, overlay=tmp_path / "o.png")
    assert str(tmp_path / "o.png") in str(caught.value) and (tmp_path / "o.png").is_file()


def _without(key):
    def damage(truth):
        adata = anndata.read_h5ad(truth.part("st"))
        del adata.obsm[key]
        adata.write_h5ad(truth.part("st"))

    return damage


def _h5(change):
    def damage(truth):
        with h5py.File(truth.part("patches"), "r+") as file:
            change(file)

    return damage


def _other_barcodes(file):
    names = file["barcode"].asstr()[:, 0]
    file["barcode"][:, 0] = np.array([f"{name}x" for name in names], dtype=object)


def _same_barcode(file):
    file["barcode"][0] = file["barcode"][1]


def _elsewhere(file):
    file["coords"][...] = file["coords"][()] + 300


def _attribute(key, value):
    def change(file):
        file["img"].attrs[key] = value

    return _h5(change)


def test_an_attribute_that_is_not_a_number_is_not_stated(sample):
    _attribute("downsample", np.nan)(sample)
    assert read(sample.folder).patches[:1].shape == (1, 224, 224, 3)


def test_an_attribute_may_be_a_list_of_one(sample):
    with h5py.File(sample.part("patches")) as file:
        stated = float(file["img"].attrs["pixel_size"])
    _attribute("pixel_size", [stated])(sample)
    assert read(sample.folder).mpp == pytest.approx(stated)


def test_places_on_the_array_that_some_spots_lack_are_counted_off(sample):
    adata = anndata.read_h5ad(sample.part("st"))
    adata.obs["array_row"] = np.where(np.arange(adata.n_obs) == 3, np.nan, 1.0)
    adata.write_h5ad(sample.part("st"))
    section = read(sample.folder)
    row = section.adata.obs["array_row"]
    assert np.corrcoef(row, section.centres_px[:, 1])[0, 1] > 0.98


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_without("spatial"), "spatial"),
        (_h5(_other_barcodes), "no patch belongs"),
        (_h5(_same_barcode), "several patches"),
        (_h5(_elsewhere), "elsewhere"),
        (_attribute("pixel_size", "half"), "'pixel_size' is no number above 0"),
        (_attribute("downsample", [1.0, 1.0]), "'downsample' is no number above 0"),
        (lambda t: t.part("metadata").write_text("{}"), "pixel_size_um_estimated"),
        (lambda t: t.part("metadata").unlink(), "no such file"),
        (lambda t: t.part("st").unlink(), "of no format"),
    ],
)
def test_damage_is_refused(sample, damage, words):
    damage(sample)
    with pytest.raises(InputError, match=words) as caught:
        read(sample.folder)
    assert "\n" not in str(caught.value)
