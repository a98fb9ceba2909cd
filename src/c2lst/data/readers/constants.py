"""Every file name, column and key of the formats that are read and written."""

from __future__ import annotations

from enum import StrEnum


class ObsColumn(StrEnum):
    """Columns of ``obs`` (HEST-1k, Space Ranger)."""

    IN_TISSUE = "in_tissue"
    ARRAY_ROW = "array_row"
    ARRAY_COL = "array_col"
    PXL_ROW = "pxl_row_in_fullres"
    PXL_COL = "pxl_col_in_fullres"


class SpatialKey(StrEnum):
    """Keys of ``uns["spatial"][name]`` and of ``obsm``."""

    SPATIAL = "spatial"
    IMAGES = "images"
    SCALEFACTORS = "scalefactors"
    HIRES = "hires"
    LOWRES = "lowres"
    DOWNSCALED = "downscaled_fullres"
    SPOT_DIAMETER = "spot_diameter_fullres"


class HestDirectory(StrEnum):
    """Folders of the HEST-1k layout."""

    ST = "st"
    PATCHES = "patches"
    SLIDES = "wsis"
    METADATA = "metadata"


class HestPatchKey(StrEnum):
    """Data sets of a HEST-1k patch file, and attributes of its images."""

    IMAGES = "img"
    COORDS = "coords"
    BARCODE = "barcode"
    BARCODES = "barcodes"  # some derived files use the plural
    SIZE_SRC = "patch_size_src"
    SIZE_TARGET = "patch_size_target"
    DOWNSAMPLE = "downsample"
    PIXEL_SIZE = "pixel_size"


class HestMetadataKey(StrEnum):
    """Keys of a HEST-1k metadata file; ours are under ``c2lst``."""

    PIXEL_SIZE = "pixel_size_um_estimated"
    PIXEL_SIZE_EMBEDDED = "pixel_size_um_embedded"
    PITCH = "inter_spot_dist"
    SPOT_DIAMETER = "spot_diameter"
    TECHNOLOGY = "st_technology"
    OURS = "c2lst"


class SyntheticColumn(StrEnum):
    """Columns of ``obs`` of synthetic pairs."""

    SOURCE_BARCODE = "source_barcode"
    SEED = "seed"
    GUIDANCE_SCALE = "guidance_scale"
    SAMPLER = "sampler"


class LegacyColumn(StrEnum):
    """Columns of a legacy Spatial Transcriptomics spot file."""

    X = "x"
    Y = "y"
    NEW_X = "new_x"
    NEW_Y = "new_y"
    PIXEL_X = "pixel_x"
    PIXEL_Y = "pixel_y"
    SELECTED = "selected"


LEGACY_SPOT_FILES = (
    "{section}_selection.tsv",
    "{section}_selection.tsv.gz",
    "alignment_table_{section}.tsv",
    "alignment_table_{section}.tsv.gz",
    "spot_data-selection-{section}.tsv",
    "spot_data-selection-{section}.tsv.gz",
)
"""Names of a legacy section's spot file, in the order in which they are looked for."""

LEGACY_COUNT_FILES = ("{section}.tsv.gz", "{section}.tsv")
"""Names of a legacy section's count file, in the order in which they are looked for."""
