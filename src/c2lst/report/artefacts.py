"""Read the files that a run left behind; nothing here needs a live model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.layout import read_h5ad
from c2lst.data.patch_file import PatchFile, patch_file, read_barcodes
from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.evaluation.expression.names import LEFT_OUT
from c2lst.report.scores import (
    Comparison,
    Coverage,
    GeneScore,
    MethodScore,
    read_comparisons,
    read_coverage,
    read_gene_scores,
    read_scores,
)
from c2lst.storage import read_json

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.prediction.advice import Advice

MANIFEST = "manifest.json"
SPLIT = "split.json"
PREPROCESSING = "preprocessing.json"
PREDICTIONS = "predictions.h5ad"
METRICS = "metrics.csv"
GENE_METRICS = "gene_metrics.csv"
COMPARISONS, COVERAGE = "comparisons.csv", "coverage.csv"
ADVICE, MAP = "advice.json", "map.h5ad"
ROLES = frozenset(("train", "val", "test", "buffer"))

_STAGE_OF = {
    SPLIT: "split",
    PREDICTIONS: "predict",
    METRICS: "evaluate",
    GENE_METRICS: "evaluate",
}
_THUMBNAILS = ("hires", "downscaled_fullres", "lowres")


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
    scores, comparisons, gene_scores, coverage
        The tables of the evaluation; ``comparisons`` and ``coverage`` may be empty.
    other_columns
        Columns of ``metrics.csv`` that the report does not show.
    advice, between, preprocessing, patches, synthetic, thumbnail, mpp
        What cross-validation inside the training spots says; the AnnData of the map between the
        spots; and others by their names. None where the run has none; ``mpp`` in µm per
        full-resolution px.
    """

    run: Path
    name: str
    manifest: Mapping[str, Any]
    split: Mapping[str, Any]
    predictions: Any
    scores: tuple[MethodScore, ...]
    comparisons: tuple[Comparison, ...]
    gene_scores: tuple[GeneScore, ...]
    coverage: tuple[Coverage, ...]
    advice: Advice | None
    between: Any | None
    other_columns: tuple[str, ...]
    preprocessing: Preprocessing | None
    patches: BarcodedPatches | None
    synthetic: BarcodedPatches | None
    thumbnail: Thumbnail | None
    mpp: float | None

    @property
    def folder(self) -> str:
        """Name of the folder, also of one that was given as ``.``, for commands on the page."""
        return self.run.resolve().name

    @property
    def role(self) -> np.ndarray:
        """Role of each spot, shape (n,): train, val, test or buffer."""
        return self.predictions.obs["split"].to_numpy().astype(str)

    @property
    def left_out(self) -> bool:
        """Whether every spot was learnt from, so that the scores are of each left out in turn."""
        return self.ours.judged == LEFT_OUT

    @property
    def judged(self) -> np.ndarray:
        """Which spots were scored: bool (n,)."""
        return self.role == ("train" if self.left_out else "test")

    @property
    def judged_as(self) -> str:
        """What the scored spots are called."""
        return "sequenced spots, each left out in turn" if self.left_out else "held-out spots"

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
    scores, other = read_scores(run / METRICS)
    return RunArtefacts(
        run=run,
        name=name,
        manifest=manifest,
        split=split,
        predictions=predictions,
        scores=scores,
        comparisons=read_comparisons(run / COMPARISONS),
        gene_scores=read_gene_scores(run / GENE_METRICS, set(predictions.var_names)),
        coverage=read_coverage(run / COVERAGE),
        advice=_read_advice(run / ADVICE),
        between=read_h5ad(run / MAP) if (run / MAP).is_file() else None,
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


def _single(directory: Path, pattern: str) -> Path | None:
    found = sorted(directory.glob(pattern))
    return found[0] if found else None


def _read_preprocessing(path: Path) -> Preprocessing | None:
    from c2lst.data.preprocessing import Preprocessing

    return Preprocessing.load(path) if path.is_file() else None


def _read_advice(path: Path) -> Advice | None:
    from c2lst.prediction.advice import Advice

    return Advice.load(path) if path.is_file() else None


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
