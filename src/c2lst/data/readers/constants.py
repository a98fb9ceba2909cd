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
    """Keys of ``uns["spatial"]["ST"]`` and of ``obsm``."""

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
    TISSUE = "tissue_seg"
    PLOTS = "spatial_plots"


HEST_LIBRARY = "ST"
"""The one key of ``uns["spatial"]``, which HEST's own reader asks for."""


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
    OLD_SIZE = "patch_size"  # of the first releases, for what is SIZE_SRC now


class HestMetadataKey(StrEnum):
    """Keys of a HEST-1k metadata file; ours are under ``c2lst``."""

    PIXEL_SIZE = "pixel_size_um_estimated"
    PIXEL_SIZE_EMBEDDED = "pixel_size_um_embedded"
    PITCH = "inter_spot_dist"
    SPOT_DIAMETER = "spot_diameter"
    TECHNOLOGY = "st_technology"
    OURS = "c2lst"


class ReadingKey(StrEnum):
    """Keys of what a section notes about how it was read."""

    FORMAT = "format"
    BECAUSE = "because"
    MPP_FROM = "mpp_from"
    ON_TISSUE = "spots_on_tissue"
    OVERLAP = "patch_overlap"
    DROPPED = "dropped"


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


class PositionColumn(StrEnum):
    """Columns of Space Ranger's tissue positions, in their order."""

    BARCODE = "barcode"
    IN_TISSUE = "in_tissue"
    ARRAY_ROW = "array_row"
    ARRAY_COL = "array_col"
    PXL_ROW = "pxl_row_in_fullres"
    PXL_COL = "pxl_col_in_fullres"


class TenxKey(StrEnum):
    """Data sets of a feature-barcode matrix in HDF5; ``gene…`` before Cell Ranger 3."""

    MATRIX = "matrix"
    BARCODES = "barcodes"
    DATA = "data"
    INDICES = "indices"
    INDPTR = "indptr"
    SHAPE = "shape"
    FEATURE_ID = "features/id"
    FEATURE_NAME = "features/name"
    FEATURE_TYPE = "features/feature_type"
    GENES = "genes"
    GENE_NAMES = "gene_names"


GENE_EXPRESSION = "Gene Expression"
"""Feature type of genes, as opposed to antibodies, CRISPR guides and controls."""


class SpaceRangerFile(StrEnum):
    """Files and folders of Space Ranger, each with an optional ``<id>_`` before it."""

    FILTERED_H5 = "filtered_feature_bc_matrix.h5"
    FILTERED = "filtered_feature_bc_matrix"
    RAW_H5 = "raw_feature_bc_matrix.h5"
    RAW = "raw_feature_bc_matrix"
    MTX = "matrix.mtx"
    MTX_BARCODES = "barcodes.tsv"
    MTX_FEATURES = "features.tsv"
    MTX_GENES = "genes.tsv"
    OUTS = "outs"
    SPATIAL = "spatial"
    POSITIONS = "tissue_positions.csv"
    POSITIONS_LIST = "tissue_positions_list.csv"
    POSITIONS_PARQUET = "tissue_positions.parquet"
    SCALEFACTORS = "scalefactors_json.json"
    HIRES = "tissue_hires_image.png"
    BINNED = "binned_outputs"
    MICROSCOPE = "microscope_image"


class ScaleFactor(StrEnum):
    """Keys of Space Ranger's scale factors."""

    HIRES = "tissue_hires_scalef"
    BIN_SIZE = "bin_size_um"
    MPP = "microns_per_pixel"


class XeniumFile(StrEnum):
    """Files of a Xenium output folder."""

    EXPERIMENT = "experiment.xenium"
    TRANSCRIPTS_PARQUET = "transcripts.parquet"
    TRANSCRIPTS_CSV = "transcripts.csv.gz"
    CELLS_PARQUET = "cells.parquet"
    CELLS_CSV = "cells.csv.gz"
    CELL_MATRIX_H5 = "cell_feature_matrix.h5"
    CELL_MATRIX = "cell_feature_matrix"


class XeniumKey(StrEnum):
    """Keys of ``experiment.xenium``, and columns of transcripts and cells."""

    PIXEL_SIZE = "pixel_size"
    FEATURE = "feature_name"
    X = "x_location"
    Y = "y_location"
    QV = "qv"
    CELL = "cell_id"
    CELL_X = "x_centroid"
    CELL_Y = "y_centroid"


XENIUM_CONTROLS = (
    "NegControl",
    "BLANK",
    "antisense_",
    "Unassigned",
    "Deprecated",
    "Intergenic_",
)
"""How the names of Xenium features begin that are no genes."""
