"""Run a benchmark fold by fold; what is done is never done again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst import __version__
from c2lst.benchmark.features import features_of, in_one_stain
from c2lst.benchmark.folds import Fold, Task
from c2lst.benchmark.looking import Looking
from c2lst.benchmark.methods import NETWORK, PROCESS, Method, Query, Training, methods_for
from c2lst.benchmark.results import FOLDS, GENES, METRICS, collect
from c2lst.benchmark.settings import BenchmarkSettings
from c2lst.data.genes import ExpressionScaler, GenePanel
from c2lst.data.pooling import SECTION
from c2lst.errors import InputError
from c2lst.prediction.encoders import keeping
from c2lst.progress import logger, progress_bar
from c2lst.storage import hash_arrays, is_litter, one_writer, read_json, whole_directory, write_json
from c2lst.workflow.rundir import describe_machine, differences

if TYPE_CHECKING:
    from anndata import AnnData
    from pandas import DataFrame

    from c2lst.data.section import Section
    from c2lst.evaluation.encoders import ImageEncoder

FORMAT = 1
_HASHED_PATCHES = 64
BENCHMARK_JSON = "benchmark.json"


def run_benchmark(
    task: Task,
    output: str | Path,
    settings: BenchmarkSettings | None = None,
    *,
    central: str | Path | None = None,
    allow_duplicates: bool = False,
    command: str = "c2lst.benchmark",
) -> DataFrame:
    """Learn from the training sections of every fold and judge on its test sections.

    Genes and scale are those of the training sections; every section's stain is its own. Each
    test section is judged by itself: no figure is of pooled slides.

    Parameters
    ----------
    task
        Sections and folds.
    output
        Folder of the benchmark. One that holds an unfinished benchmark of the same request is
        continued.
    settings
        How each fold is worked on.
    central
        The central model of the encoder ``central``: folder, id on the hub, or ``builtin``.
    allow_duplicates
        Go on though one slide is in training and in test.
    command
        How to repeat it.

    Returns
    -------
    pandas.DataFrame
        A row for each fold, test section and method, as in ``benchmark.parquet``: the metrics of
        :func:`c2lst.evaluation.expression.evaluate`.

    Raises
    ------
    InputError
        If sections do not fit together or to the central model, a slide is on both sides of a fold,
        or the folder holds something else.
    """
    root, settings = Path(output), settings or BenchmarkSettings()
    methods = methods_for(settings)
    task = task.with_shared_genes()
    task.refuse_duplicates(allow=allow_duplicates)
    looking = Looking.of(settings, central, list(task.sections.values()))
    _open_record(root, task, settings, looking.encoder, command)
    work = _Work(root, task, settings, methods, looking)
    if task.caution:
        logger.warning("%s", task.caution)
    with one_writer(root), progress_bar("benchmark", len(task.folds)) as bar:
        for number, fold in enumerate(task.folds):
            folder = root / FOLDS / f"{number:03d}-{_in_file_names(fold.name)}"
            if not folder.is_dir():
                work.carry_out(fold, folder)
            bar.advance(note=fold.name)
    shutil.rmtree(work.scratch, ignore_errors=True)
    return collect(root)


@dataclass(frozen=True, eq=False)
class _Work:
    """What the folds of a benchmark share."""

    root: Path
    task: Task
    settings: BenchmarkSettings
    methods: Mapping[str, Method]
    looking: Looking

    @property
    def scratch(self) -> Path:
        return self.root / ".work"

    def carry_out(self, fold: Fold, folder: Path) -> None:
        """Fit every method, predict the test sections, and write what they are worth."""
        import pandas as pd

        training, panel = self._training(fold)
        test = self._pooled(fold.test)
        query = Query(test.patches.__getitem__, self._features(fold.test))
        predicted = {
            name: np.asarray(method(training, query), dtype=np.float32)
            for name, method in self.methods.items()
        }
        observed = training.scaler.lognorm(test, panel)
        owner = test.adata.obs[SECTION].to_numpy(dtype=str)
        tables: dict[str, list[DataFrame]] = {METRICS: [], GENES: []}
        for name in fold.test:
            rows = owner == name
            layers = {method: values[rows] for method, values in predicted.items()}
            judged = _judge(
                self.task.sections[name], panel, observed[rows], layers, training.scaler
            )
            for kind, table in zip(tables, judged, strict=True):
                tables[kind].append(self._labelled(table, fold, name, len(training.features)))
        with whole_directory(folder) as partial:
            for kind, parts in tables.items():
                pd.concat(parts, ignore_index=True).to_parquet(partial / kind, index=False)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _training(self, fold: Fold) -> tuple[Training, GenePanel]:
        pooled = self._pooled(fold.train)
        panel = (
            GenePanel.top_mean(pooled, min(self.settings.genes, _expressed(pooled)))
            if self.task.genes is None
            else GenePanel.from_list(self.task.genes, pooled)
        )
        scaler = ExpressionScaler.fit(pooled, panel)
        training = Training(
            pooled,
            self._features(fold.train),
            scaler.lognorm(pooled, panel),
            scaler,
            self.settings,
            # Folds share sections: a frozen network finds the turns of their patches there.
            keeping(self.looking.upright, self.root / "features" / "turned"),
            self.scratch / _in_file_names(fold.name),
        )
        return training, panel

    def _pooled(self, names: Sequence[str]) -> Section:
        sections = [self.task.sections[name] for name in names]
        return in_one_stain(sections, self.looking.stain, normalise=self.settings.normalise)

    def _features(self, names: Sequence[str]) -> np.ndarray:
        return np.concatenate(
            [
                features_of(
                    self.task.sections[name],
                    self.looking,
                    self.root / "features" / f"{name}.safetensors",
                    normalise=self.settings.normalise,
                )
                for name in names
            ]
        )

    def _labelled(self, table: DataFrame, fold: Fold, name: str, spots: int) -> DataFrame:
        labels: dict[str, Any] = {
            "fold": fold.name,
            "section": name,
            "patient": self.task.patients[name],
            "train_sections": len(fold.train),
            "train_spots": spots,
        }
        return table.assign(**labels)[[*labels, *table.columns]]


def _in_file_names(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name)


def _expressed(section: Section) -> int:
    return int((np.asarray(section.counts.sum(axis=0)).ravel() > 0).sum())


def _judge(
    section: Section,
    panel: GenePanel,
    observed: np.ndarray,
    layers: Mapping[str, np.ndarray],
    scaler: ExpressionScaler,
) -> tuple[DataFrame, DataFrame]:
    """Score the methods on one section: metrics, and the same gene by gene."""
    from c2lst.evaluation.expression import DEFAULT_METHOD, evaluate

    tables = evaluate(_predictions(section, panel, observed, layers, scaler))
    for table in tables:
        table["method"] = table["method"].replace(DEFAULT_METHOD, PROCESS)
    return tables


def _predictions(
    section: Section,
    panel: GenePanel,
    observed: np.ndarray,
    layers: Mapping[str, np.ndarray],
    scaler: ExpressionScaler,
) -> AnnData:
    """Lay predictions out as ``predictions.h5ad``, of which every spot is held out."""
    import anndata
    import pandas as pd

    from c2lst.evaluation.expression.names import (
        BASELINE_PREFIX,
        LIBRARY_SIZE,
        OBSERVED,
        PREDICTED,
    )

    names = {PROCESS: PREDICTED, NETWORK: NETWORK}
    obs = section.adata.obs.assign(**{LIBRARY_SIZE: section.library_size, "split": "test"})
    return anndata.AnnData(
        layers={names.get(name, BASELINE_PREFIX + name): x for name, x in layers.items()}
        | {OBSERVED: observed},
        obs=obs,
        var=pd.DataFrame(index=list(panel.genes)),
        obsm={"spatial": section.centres_px},
        uns={"c2lst": {"target_sum": scaler.target_sum}},
    )


def _look_of(section: Section) -> dict[str, Any]:
    """Width of a section's patches in µm and px, and the hash of an even choice of them."""
    patches = section.patches
    rows = np.linspace(0, len(patches) - 1, min(len(patches), _HASHED_PATCHES)).round().astype(int)
    return {
        "um": patches.patch_um,
        "px": patches.size,
        "hash": hash_arrays({"images": patches[rows]}),
    }


def _open_record(
    root: Path, task: Task, settings: BenchmarkSettings, encoder: ImageEncoder, command: str
) -> None:
    """Continue the benchmark of a folder, or begin one.

    Raises
    ------
    InputError
        If the folder holds a benchmark of another request, or something else.
    """
    path = root / BENCHMARK_JSON
    request = {
        "settings": asdict(settings),
        "features": encoder.label,
        "genes": list(task.genes or ()),
        "folds": {fold.name: {"train": fold.train, "test": fold.test} for fold in task.folds},
        "sections": {name: section.content_hash for name, section in task.sections.items()},
        "patients": dict(task.patients),
        # Counts and a label are not all that features hang on: patches may have been cut anew, and
        # a folder of weights may hold others.
        "patches": {name: _look_of(section) for name, section in task.sections.items()},
        "encoder": getattr(encoder, "identity", encoder.label),
    }
    if path.is_file():
        record = read_json(path, required=("format", "request"))
        if record["format"] != FORMAT:
            raise InputError(path, "unknown format", found=record["format"], expected=FORMAT)
        # Records of earlier versions say nothing of patches and weights: both are taken as given.
        for name, found, expected in differences({**request, **record["request"]}, request):
            raise InputError(
                root,
                f"holds a benchmark with another {name}",
                found=found,
                expected=expected,
                remedy="choose a new folder with -o, or give the same options to continue",
            )
        return
    if root.exists() and not (root.is_dir() and all(map(is_litter, root.iterdir()))):
        raise InputError(
            root,
            "is not empty and holds no benchmark",
            remedy="choose a new folder; nothing in this one was touched",
        )
    write_json(
        path,
        {
            "format": FORMAT,
            "kind": "benchmark",
            "c2lst": __version__,
            "command": command,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": describe_machine(),
            "caution": task.caution,
            "request": request,
        },
    )
