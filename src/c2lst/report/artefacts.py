"""Read the files that a run left behind; nothing here needs a live model."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.layout import read_h5ad
from c2lst.data.patch_file import PatchFile, patch_file, read_barcodes
from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.storage import read_json

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing

MANIFEST = "manifest.json"
SPLIT = "split.json"
PREPROCESSING = "preprocessing.json"
PREDICTIONS = "predictions.h5ad"
METRICS = "metrics.csv"
GENE_METRICS = "gene_metrics.csv"
COMPARISONS = "comparisons.csv"
ROLES = frozenset(("train", "val", "test", "buffer"))

_STAGE_OF = {
    SPLIT: "split",
    PREDICTIONS: "predict",
    METRICS: "evaluate",
    GENE_METRICS: "evaluate",
}
_THUMBNAILS = ("hires", "downscaled_fullres", "lowres")
_METRIC_COLUMNS = (
    "method",
    "spots",
    "genes",
    "mae",
    "mae_low",
    "mae_high",
    "rmse",
    "pearson",
    "pearson_low",
    "pearson_high",
    "skill",
    "skill_low",
    "skill_high",
)


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN stands for what was not given."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class MethodScore:
    """One row of ``metrics.csv``: a method on the held-out spots (log1p CP10k)."""

    method: str
    spots: int
    genes: int
    mae: Estimate
    rmse: float
    pearson: Estimate
    skill: Estimate
    explained: Estimate = Estimate(math.nan)


@dataclass(frozen=True)
class Comparison:
    """One row of ``comparisons.csv``: MAE of ``method`` minus MAE of ``against``."""

    method: str
    against: str
    difference: Estimate


@dataclass(frozen=True)
class GeneScore:
    """One row of ``gene_metrics.csv``: a method on one gene."""

    method: str
    gene: str
    mae: float
    pearson: float


@dataclass(frozen=True)
class Thumbnail:
    """A small picture of the slide; ``scale`` is thumbnail px per full-resolution px."""

    image: np.ndarray
    scale: float


@dataclass(frozen=True)
class BarcodedPatches:
    """Patches, read from their file only where asked for.

    Parameters
    ----------
    images
        The file's images, (m, S, S, 3) uint8.
    barcodes
        Shape (m,): the spot of each patch; for synthetic patches the spot whose profile it got.
    """

    images: PatchFile
    barcodes: np.ndarray

    def read(self, indices: Sequence[int]) -> np.ndarray:
        """Read patches in the order of ``indices``: (k, S, S, 3) uint8."""
        return self.images[np.asarray(indices, dtype=int)]


@dataclass(frozen=True)
class RunArtefacts:
    """Everything that the report shows, as read from a run's folder.

    Parameters
    ----------
    run
        The folder.
    name
        The section's name.
    manifest, split
        ``manifest.json`` and ``split.json`` as read.
    predictions
        The AnnData of ``predictions.h5ad``: spots × genes, log1p CP10k.
    scores, comparisons, gene_scores
        The tables of the evaluation; ``comparisons`` may be empty.
    other_columns
        Columns of ``metrics.csv`` that the report does not show.
    preprocessing, patches, synthetic, thumbnail, mpp
        None where the run has none; ``mpp`` in µm per full-resolution px.
    """

    run: Path
    name: str
    manifest: Mapping[str, Any]
    split: Mapping[str, Any]
    predictions: Any
    scores: tuple[MethodScore, ...]
    comparisons: tuple[Comparison, ...]
    gene_scores: tuple[GeneScore, ...]
    other_columns: tuple[str, ...]
    preprocessing: Preprocessing | None
    patches: BarcodedPatches | None
    synthetic: BarcodedPatches | None
    thumbnail: Thumbnail | None
    mpp: float | None

    @property
    def role(self) -> np.ndarray:
        """Role of each spot, shape (n,): train, val, test or buffer."""
        return self.predictions.obs["split"].to_numpy().astype(str)

    @property
    def centres(self) -> np.ndarray:
        """Spot centres, shape (n, 2): x, y in full-resolution px."""
        return np.asarray(self.predictions.obsm["spatial"], dtype=float)

    @property
    def barcodes(self) -> np.ndarray:
        """Barcodes of the spots, shape (n,)."""
        return self.predictions.obs_names.to_numpy().astype(str)

    @property
    def genes(self) -> np.ndarray:
        """Genes of the panel, shape (G,)."""
        return self.predictions.var_names.to_numpy().astype(str)

    @property
    def observed(self) -> np.ndarray:
        """Measured expression, shape (n, G), log1p CP10k; NaN where there are no counts."""
        return self._dense("observed")

    @property
    def predicted(self) -> np.ndarray:
        """Predicted expression, shape (n, G), log1p CP10k."""
        return self._dense("predicted")

    @property
    def ours(self) -> MethodScore:
        """The row of the default predictor; reading refuses a table without it."""
        return next(row for row in self.scores if row.method == DEFAULT_METHOD)

    def layer(self, name: str) -> np.ndarray | None:
        """Return a layer as a dense float array (n, G), or None where it is absent."""
        return self._dense(name) if name in self.predictions.layers else None

    def _dense(self, name: str) -> np.ndarray:
        value = self.predictions.layers[name]
        dense = value.toarray() if hasattr(value, "toarray") else value
        return np.asarray(dense, dtype=np.float64)

    def score(self, method: str) -> MethodScore | None:
        """Return the row of one method, or None."""
        return next((row for row in self.scores if row.method == method), None)

    def stage(self, name: str) -> Mapping[str, Any]:
        """Return what the manifest holds of one stage; empty where it is absent."""
        value = self.manifest.get("stages", {}).get(name, {})
        return value if isinstance(value, Mapping) else {}


def read_artefacts(run: Path) -> RunArtefacts:
    """Read a run's folder.

    Raises
    ------
    InputError
        If the folder is no run, or a stage that the report needs has not written its result: the
        message names the stage.
    """
    run = Path(run)
    if not run.is_dir():
        raise InputError(run, "no such run folder", remedy="make one with `c2lst run`")
    if not (run / MANIFEST).is_file():
        raise InputError(
            run, f"is not a run: {MANIFEST} is missing", remedy="make one with `c2lst run`"
        )
    manifest = read_json(run / MANIFEST, required=("stages",))
    if not isinstance(manifest["stages"], dict):
        raise InputError(run / MANIFEST, "key 'stages' is no object")
    for file, stage in _STAGE_OF.items():
        _require(run, file, stage, manifest)
    split = read_json(run / SPLIT, required=("section",))
    name = str(split["section"])
    predictions = _read_predictions(run / PREDICTIONS)
    scores, other = _read_scores(run / METRICS)
    return RunArtefacts(
        run=run,
        name=name,
        manifest=manifest,
        split=split,
        predictions=predictions,
        scores=scores,
        comparisons=_read_comparisons(run / COMPARISONS),
        gene_scores=_read_gene_scores(run / GENE_METRICS, set(predictions.var_names)),
        other_columns=other,
        preprocessing=_read_preprocessing(run / PREPROCESSING),
        patches=_read_patches(run / "section"),
        synthetic=_read_synthetic(run / "synthetic"),
        thumbnail=_thumbnail(predictions),
        mpp=_pixel_size(run / "section"),
    )


def _require(run: Path, file: str, stage: str, manifest: Mapping[str, Any]) -> None:
    if (run / file).is_file():
        return
    entry = manifest["stages"].get(stage)
    status = entry.get("status", "unknown") if isinstance(entry, dict) else "not started"
    raise InputError(
        run / file,
        f"is missing: the stage '{stage}' is not complete",
        found=f"status '{status}'",
        expected="'done'",
        remedy="run the same `c2lst run` command again, it goes on where it stopped",
    )


def _read_predictions(path: Path) -> Any:
    predictions = read_h5ad(path)
    for place, key in (
        ("obs", "split"),
        ("obsm", "spatial"),
        ("layers", "predicted"),
        ("layers", "observed"),
    ):
        if key not in getattr(predictions, place):
            raise InputError(path, f"{place}[{key!r}] is missing", remedy="predict again")
    if 0 in predictions.shape:
        raise InputError(path, "holds no spot or no gene", found=predictions.shape)
    roles = set(predictions.obs["split"].astype(str))
    if not roles <= ROLES or "train" not in roles:
        raise InputError(
            path,
            "obs['split'] is not usable",
            found=", ".join(sorted(roles)),
            expected=f"at least one train spot, and only {', '.join(sorted(ROLES))}",
        )
    if not np.isfinite(np.asarray(predictions.obsm["spatial"], dtype=float)).all():
        raise InputError(path, "obsm['spatial'] has positions that are not finite")
    return predictions


def _read_rows(path: Path, required: Iterable[str]) -> tuple[list[dict[str, str]], list[str]]:
    with path.open(newline="", encoding="utf-8") as handle:
        try:
            reader = csv.DictReader(handle, restval="")
            rows = list(reader)
        except (csv.Error, UnicodeDecodeError) as error:
            raise InputError(path, f"is not a readable CSV table ({error})") from error
    columns = [column for column in reader.fieldnames or [] if column]
    missing = [column for column in required if column not in columns]
    if missing:
        raise InputError(path, f"column {missing[0]!r} is missing", found=", ".join(columns))
    return rows, columns


def _number(path: Path, row: Mapping[str, str], column: str) -> float:
    text = row.get(column, "").strip()
    try:
        return float(text) if text else math.nan
    except ValueError as error:
        raise InputError(
            path, f"column {column!r} holds no number", found=repr(text), expected="a number"
        ) from error


def _estimate(path: Path, row: Mapping[str, str], column: str) -> Estimate:
    return Estimate(
        _number(path, row, column),
        _number(path, row, f"{column}_low"),
        _number(path, row, f"{column}_high"),
    )


def _count(path: Path, row: Mapping[str, str], column: str) -> int:
    value = _number(path, row, column)
    return int(value) if math.isfinite(value) else 0


def _read_scores(path: Path) -> tuple[tuple[MethodScore, ...], tuple[str, ...]]:
    rows, columns = _read_rows(path, _METRIC_COLUMNS)
    scores = tuple(
        MethodScore(
            method=row["method"],
            spots=_count(path, row, "spots"),
            genes=_count(path, row, "genes"),
            mae=_estimate(path, row, "mae"),
            rmse=_number(path, row, "rmse"),
            pearson=_estimate(path, row, "pearson"),
            skill=_estimate(path, row, "skill"),
            explained=_estimate(path, row, "explained_share")
            if "explained_share" in columns
            else Estimate(math.nan),
        )
        for row in rows
    )
    methods = [score.method for score in scores]
    if DEFAULT_METHOD not in methods:
        raise InputError(
            path,
            "has no row of the default predictor",
            found=", ".join(methods) or "no rows",
            expected=repr(DEFAULT_METHOD),
            remedy="evaluate again",
        )
    if len(set(methods)) < len(methods):
        raise InputError(path, "has two rows of the same method", found=", ".join(methods))
    return scores, tuple(column for column in columns if column not in _METRIC_COLUMNS)


def _read_comparisons(path: Path) -> tuple[Comparison, ...]:
    if not path.is_file():
        return ()
    rows, _ = _read_rows(path, ("method", "against", "mae_difference", "low", "high"))
    return tuple(
        Comparison(
            row["method"],
            row["against"],
            Estimate(*(_number(path, row, key) for key in ("mae_difference", "low", "high"))),
        )
        for row in rows
    )


def _read_gene_scores(path: Path, panel: set[str]) -> tuple[GeneScore, ...]:
    # A table without a method column speaks of the default predictor alone.
    rows, _ = _read_rows(path, ("gene", "mae", "pearson"))
    unknown = [row["gene"] for row in rows if row["gene"] not in panel]
    if unknown:
        raise InputError(
            path,
            "names a gene that predictions.h5ad lacks",
            found=repr(unknown[0]),
            remedy="evaluate again",
        )
    return tuple(
        GeneScore(
            row.get("method", DEFAULT_METHOD),
            row["gene"],
            _number(path, row, "mae"),
            _number(path, row, "pearson"),
        )
        for row in rows
    )


def _single(directory: Path, pattern: str) -> Path | None:
    found = sorted(directory.glob(pattern))
    return found[0] if found else None


def _read_preprocessing(path: Path) -> Preprocessing | None:
    from c2lst.data.preprocessing import Preprocessing

    return Preprocessing.load(path) if path.is_file() else None


def _read_patches(section: Path) -> BarcodedPatches | None:
    path = _single(section, "patches/*.h5")
    if path is None:
        return None
    barcodes = read_barcodes(path)
    return BarcodedPatches(PatchFile(path, np.arange(len(barcodes))), barcodes)


def _read_synthetic(synthetic: Path) -> BarcodedPatches | None:
    path = _single(synthetic, "patches/*_synthetic.h5")
    table = _single(synthetic, "st/*_synthetic.h5ad")
    if path is None or table is None:
        return None
    obs = read_h5ad(table).obs
    if "source_barcode" not in obs:
        raise InputError(table, "obs['source_barcode'] is missing", found=", ".join(obs))
    barcodes = obs["source_barcode"].to_numpy().astype(str)
    with patch_file(path) as file:
        count = len(file["img"])
    if count != len(barcodes):
        raise InputError(path, "does not match its profiles", found=count, expected=len(barcodes))
    return BarcodedPatches(PatchFile(path, np.arange(count)), barcodes) if count else None


def _thumbnail(predictions: Any) -> Thumbnail | None:
    library = next(iter(dict(predictions.uns.get("spatial", {})).values()), None)
    if library is None:
        return None
    for key in _THUMBNAILS:
        image = library.get("images", {}).get(key)
        scale = library.get("scalefactors", {}).get(f"tissue_{key}_scalef")
        if image is not None and scale is not None and float(scale) > 0:
            return Thumbnail(_as_uint8(np.asarray(image)), float(scale))
    return None


def _as_uint8(image: np.ndarray) -> np.ndarray:
    if image.dtype != np.uint8:
        image = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    return image[..., :3]


def _pixel_size(section: Path) -> float | None:
    path = _single(section, "metadata/*.json")
    value = read_json(path).get("pixel_size_um_estimated") if path else None
    return float(value) if isinstance(value, int | float) and value > 0 else None
