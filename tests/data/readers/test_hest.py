from __future__ import annotations

import json

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from c2lst.data.readers import read
from c2lst.errors import InputError

N, S = 30, 64
PX = 2.0  # full-resolution px per µm: 0.5 µm/px


def write_hest(
    folder, *, plural=False, attributes=True, pitch_um=100.0, mpp=0.5, swap=False, order=None
):
    """A miniature in exactly the layout of HEST-1k: Visium, patches of 112 µm, fewer than spots."""
    rng = np.random.default_rng(0)
    for name in ("st", "patches", "metadata", "wsis"):
        (folder / name).mkdir(parents=True)
    row, column = np.mgrid[:6, :5]
    array_row, array_col = row.ravel(), (2 * column + row % 2).ravel()
    centres = np.stack([array_col * 50 * PX, array_row * 50 * np.sqrt(3) * PX], -1) + 500.0
    counts = rng.poisson(2, (N, 8)).astype(np.float32)
    counts[4] = 0
    adata = anndata.AnnData(sparse.csc_matrix(counts))
    adata.obs_names = [f"AC{i:02d}-1" for i in range(N)]
    adata.var_names = [f"G{i}" for i in range(8)]
    adata.obs["in_tissue"], adata.obs["array_row"], adata.obs["array_col"] = 1, array_row, array_col
    adata.obs["pxl_col_in_fullres"], adata.obs["pxl_row_in_fullres"] = centres.T
    adata.obsm["spatial"] = centres[:, ::-1] if swap else centres
    adata.uns["spatial"] = {
        "ST": {
            "images": {"downscaled_fullres": np.full((100, 120, 3), 200, np.uint8)},
            "scalefactors": {
                "spot_diameter_fullres": 110.0,
                "tissue_downscaled_fullres_scalef": 0.05,
            },
        }
    }
    adata.write_h5ad(folder / "st" / "T1.h5ad")
    kept = np.arange(N)[::-1][:-2] if order is None else order
    with h5py.File(folder / "patches" / "T1.h5", "w") as file:
        images = np.zeros((len(kept), S, S, 3), np.uint8)
        images[..., 0] = kept[:, None, None]  # a patch knows its spot
        images[..., 1] = np.arange(S)[None, None, :]
        file["img"] = images
        if attributes:
            file["img"].attrs.update(
                {
                    "patch_size_src": 224,
                    "patch_size_target": S,
                    "downsample": 224 / S,
                    "pixel_size": mpp,
                }
            )
        file["coords"] = (centres[kept] - 112).astype(int)
        names = np.array([adata.obs_names[i] for i in kept], dtype=object).reshape(-1, 1)
        file.create_dataset(
            "barcodes" if plural else "barcode", data=names, dtype=h5py.string_dtype()
        )
    metadata = {
        "pixel_size_um_estimated": mpp, "pixel_size_um_embedded": None, "inter_spot_dist": pitch_um,
        "spot_diameter": 55, "patient": "P1", "st_technology": "Visium", "oncotree_code": "IDC",
    }  # fmt: skip
    (folder / "metadata" / "T1.json").write_text(json.dumps(metadata))
    return folder


@pytest.mark.parametrize("plural", [False, True])
@pytest.mark.parametrize("attributes", [False, True])
def test_patches_are_joined_on_barcode(tmp_path, plural, attributes):
    section = read(write_hest(tmp_path, plural=plural, attributes=attributes), size=S)
    # Two spots have no patch and one has no counts.
    assert len(section) == N - 3
    spots = [int(barcode[2:4]) for barcode in section.barcodes]
    assert section.patches[:][:, 0, 0, 0].tolist() == spots
    assert section.patches.patch_um == pytest.approx(112.0)
    assert section.adata.X.format == "csr"


def test_scale_and_pitch_come_from_the_metadata(tmp_path):
    section = read(write_hest(tmp_path))
    assert (section.mpp, section.pitch_um) == (0.5, 100.0)
    assert section.patches.patch_um == pytest.approx(112.0)
    assert section.patches.size == 64


def test_a_scale_that_contradicts_the_pitch_is_refused(tmp_path):
    folder = write_hest(tmp_path, mpp=0.54)
    with pytest.raises(InputError, match=r"0\.500"):
        read(folder)
    assert read(folder, mpp=0.5).mpp == 0.5


def test_within_five_per_cent_the_metadata_is_believed(tmp_path):
    assert read(write_hest(tmp_path, mpp=0.52)).mpp == 0.52


def test_patches_are_resampled_and_cropped_when_asked(tmp_path):
    folder = write_hest(tmp_path)
    whole, small = read(folder, size=S), read(folder, size=16)
    narrow = read(folder, size=32, patch_um=56.0)
    assert small.patches[:].shape[1:] == (16, 16, 3)
    assert small.patches[0][5, :, 1].mean() == pytest.approx(
        whole.patches[0][5, :, 1].mean(), abs=1
    )
    assert narrow.patches.patch_um == 56.0
    assert np.array_equal(narrow.patches[0], whole.patches[0][16:48, 16:48])
    with pytest.raises(InputError, match="narrower"):
        read(folder, patch_um=150.0)


def test_the_thumbnail_gets_the_keys_that_plots_look_for(tmp_path):
    entry = read(write_hest(tmp_path)).adata.uns["spatial"]["T1"]
    assert set(entry["images"]) == {"downscaled_fullres", "hires", "lowres"}
    assert entry["scalefactors"]["tissue_hires_scalef"] == 0.05


def test_exchanged_axes_are_refused(tmp_path):
    with pytest.raises(InputError, match="exchanged"):
        read(write_hest(tmp_path, swap=True))


def test_what_was_read_can_be_saved_and_read_again(tmp_path):
    section = read(write_hest(tmp_path / "theirs"), size=32)
    section.save(tmp_path / "ours")
    again = read(tmp_path / "ours", size=32)
    assert again.content_hash == section.content_hash
    assert np.array_equal(again.patches[:], section.patches[:])


@pytest.mark.parametrize("path", ["", "T1", "st/T1.h5ad"])
def test_a_section_is_found_by_folder_name_or_file(tmp_path, path):
    assert read(write_hest(tmp_path) / path).name == "T1"


def _without(key):
    def damage(folder):
        adata = anndata.read_h5ad(folder / "st/T1.h5ad")
        del adata.obsm[key]
        adata.write_h5ad(folder / "st/T1.h5ad")

    return damage


def _other_barcodes(folder):
    with h5py.File(folder / "patches/T1.h5", "r+") as file:
        file["barcode"][...] = file["barcode"][()] + b"x"


def _same_barcode(folder):
    with h5py.File(folder / "patches/T1.h5", "r+") as file:
        file["barcode"][0] = file["barcode"][1]


def _no_pixel_size(folder):
    (folder / "metadata/T1.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_without("spatial"), "spatial"),
        (_other_barcodes, "no patch belongs"),
        (_same_barcode, "several patches"),
        (_no_pixel_size, "pixel_size_um_estimated"),
        (lambda f: (f / "metadata/T1.json").unlink(), "no such file"),
        (lambda f: (f / "st/T1.h5ad").unlink(), "no st"),
    ],
)
def test_damage_is_refused(tmp_path, damage, words):
    folder = write_hest(tmp_path)
    damage(folder)
    with pytest.raises(InputError, match=words):
        read(folder)
