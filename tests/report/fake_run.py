"""Write a fake but plausible run folder: every file that the report reads, numbers from a seed."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from c2lst.evaluation.expression import DEFAULT_METHOD, NETWORK, NETWORK_TWIN
from c2lst.evaluation.expression import TWIN as REAL_ONLY_TWIN
from c2lst.report.wording import STAGES

PITCH = 290.0
THUMBNAIL_SCALE = 0.1
LAYER = {"train_median": 0.0, "knn": 0.35, "kriging": 0.5}
MAE = {
    "train_mean": 0.500,
    "train_median": 0.489,
    "knn": 0.493,
    "kriging": 0.484,
    NETWORK_TWIN: 0.486,
    NETWORK: 0.479,
    REAL_ONLY_TWIN: 0.471,
}
PEARSON = {"train_mean": np.nan, "train_median": np.nan, "knn": 0.17, "kriging": 0.20}
HEADLINE_MAE = {"better": 0.466, "tied": 0.482, "worse": 0.512}
DIFFERENCE = {
    "better": (-0.018, -0.027, -0.009),
    "tied": (-0.002, -0.009, 0.006),
    "worse": (0.028, 0.012, 0.041),
}


@dataclass(frozen=True)
class FakeRun:
    """What the folder holds. ``outcome`` and ``effect`` say which way the numbers fall."""

    outcome: str = "better"
    effect: str = "tied"
    paired: bool = True
    synthetic: bool = True
    twin: bool = True
    restained: bool = True
    name: str = "C3"
    gene_prefix: str = "GENE"
    spots: int = 9
    genes: int = 14
    patch: int = 16
    seed: int = 0

    def write(self, run: Path) -> Path:
        rng = np.random.default_rng(self.seed)
        run.mkdir(parents=True, exist_ok=True)
        table = _Tissue(self, rng)
        table.write_predictions(run / "predictions.h5ad")
        table.write_section(run / "section")
        if self.synthetic:
            table.write_synthetic(run / "synthetic")
        if self.restained:
            table.write_preprocessing(run / "preprocessing.json")
        self._write_json(run, table)
        self._write_metrics(run, table)
        return run

    def _write_json(self, run: Path, table: _Tissue) -> None:
        split = {"section": self.name, "section_hash": "ab" * 32, "scheme": "random"}
        split |= {"fraction": 0.25, "seed": self.seed}
        split |= {k: table.barcodes[table.role == k].tolist() for k in ("train", "val", "test")}
        (run / "split.json").write_text(json.dumps(split | {"buffer": []}))
        stages = {
            name: {
                "status": "done",
                "seconds": 1.3 * (k + 1) ** 2.4,
                "summary": {"spots": self.spots**2},
                "fingerprint": f"{k:064x}",
            }
            for k, name in enumerate(STAGES)
            if name != "report"
        }
        stages["central"]["summary"] = {
            "origin": "The central model was pretrained on this slide's own unlabelled tissue, "
            "since no other patches were given."
        }
        manifest = {
            "format": 1,
            "c2lst": "0.1.0",
            "command": f"c2lst run slides --section {self.name} -o run --fraction 0.25",
            "created": "2026-01-05T09:30:00+00:00",
            "settings": {"fraction": 0.25, "genes": None, "train": {"steps": 2000, "ema": 0.999}},
            "machine": {"system": "Linux", "cpus": 2, "packages": {"torch": "2.6.0"}},
            "seed": self.seed,
            "stages": stages,
            "notes": ["Two spots without counts were dropped."],
        }
        (run / "manifest.json").write_text(json.dumps(manifest))

    def _write_metrics(self, run: Path, table: _Tissue) -> None:
        maes = dict(MAE) | {DEFAULT_METHOD: HEADLINE_MAE[self.outcome]}
        if not self.twin:
            del maes[REAL_ONLY_TWIN], maes[NETWORK_TWIN]
        if not self.synthetic:
            maes.pop(NETWORK)
        half = 0.002 if not self.paired and self.outcome != "tied" else 0.014
        tests = int((table.role == "test").sum())
        rows = []
        for method, mae in maes.items():
            pearson = PEARSON.get(method, 0.25)
            rows.append(
                {"method": method, "spots": tests, "genes": self.genes, "rmse": 1.3 * mae}
                | {"mae": mae, "mae_low": mae - half, "mae_high": mae + half}
                | {"pearson": pearson, "pearson_low": pearson - 0.04}
                | {"pearson_high": pearson + 0.05, "skill": 1 - mae / 0.489}
                | {"skill_low": 0.97 - mae / 0.489, "skill_high": 1.03 - mae / 0.489}
                | {"spearman": pearson}
            )
        _write_csv(run / "metrics.csv", rows)
        rng = np.random.default_rng(self.seed + 1)
        _write_csv(
            run / "gene_metrics.csv",
            [
                {"method": method, "gene": gene, "mae": 0.5 - 0.02 * k + 0.02 * rng.normal()}
                | {"pearson": 0.6 - 0.03 * k}
                for method in maes
                for k, gene in enumerate(table.genes)
            ],
        )
        if self.paired:
            _write_csv(run / "comparisons.csv", self._comparisons(maes))

    def _comparisons(self, maes: dict[str, float]) -> list[dict[str, object]]:
        pairs = [(DEFAULT_METHOD, base, self.outcome) for base in LAYER]
        if self.twin:
            pairs.append((DEFAULT_METHOD, REAL_ONLY_TWIN, self.effect))
            pairs.append((NETWORK, NETWORK_TWIN, self.effect))
        return [
            {"method": a, "against": b}
            | dict(zip(("mae_difference", "low", "high"), DIFFERENCE[which], strict=True))
            for a, b, which in pairs
            if a in maes and b in maes
        ]


class _Tissue:
    def __init__(self, fake: FakeRun, rng: np.random.Generator) -> None:
        self.fake, self.rng = fake, rng
        side = np.arange(fake.spots)
        x, y = (grid.ravel() for grid in np.meshgrid(side, side))
        inside = np.hypot(x - side.mean(), y - side.mean()) <= 0.55 * fake.spots
        self.grid = np.column_stack([x, y])[inside]
        self.centres = 2 * PITCH + PITCH * self.grid.astype(float)
        n = len(self.grid)
        self.barcodes = np.array([f"{a}x{b}" for a, b in self.grid])
        self.genes = [f"{fake.gene_prefix}{k}" for k in range(fake.genes)]
        self.role = np.where(rng.random(n) < 0.25, "train", "test")
        self.role[:3] = ("train", "val", "train")
        phase = self.grid @ np.array([0.5, 0.3])
        waves = np.sin(phase[:, None] + np.linspace(0, 6, fake.genes))
        self.truth = np.clip(2 + waves + 0.5 * rng.normal(size=waves.shape), 0, None)
        self.predicted = 2 + 0.7 * waves

    def write_predictions(self, path: Path) -> None:
        import anndata
        import pandas as pd

        size = int((self.centres.max() + 2 * PITCH) * THUMBNAIL_SCALE)
        adata = anndata.AnnData(
            self.predicted.astype(np.float32),
            obs=pd.DataFrame({"split": self.role}, index=self.barcodes),
            var=pd.DataFrame(index=self.genes),
            obsm={"spatial": self.centres},
        )
        adata.layers["predicted"] = adata.X.copy()
        observed = self.truth.astype(np.float32)
        observed[-1] = np.nan
        adata.layers["observed"] = observed
        adata.layers["lower"] = adata.X - 0.9
        adata.layers["upper"] = adata.X + 0.9 + 0.1 * self.rng.random(adata.shape)
        adata.uns["spatial"] = {
            self.fake.name.replace("/", "_"): {
                "images": {"hires": self._slide(size)},
                "scalefactors": {
                    "tissue_hires_scalef": THUMBNAIL_SCALE,
                    "spot_diameter_fullres": PITCH / 2,
                },
            }
        }
        adata.write_h5ad(path)

    def _slide(self, size: int) -> np.ndarray:
        """White with a disc in the colours of haematoxylin and eosin."""
        y, x = np.mgrid[:size, :size]
        tissue = np.hypot(x - size / 2, y - size / 2) < 0.46 * size
        nuclei = tissue & (self.rng.random((size, size)) < 0.12)
        image = np.full((size, size, 3), 248, dtype=np.uint8)
        image[tissue] = (226, 168, 199)
        image[nuclei] = (110, 74, 146)
        return image

    def _patches(self, level: np.ndarray) -> np.ndarray:
        s = self.fake.patch
        images = np.empty((len(level), s, s, 3), dtype=np.uint8)
        images[:] = (226, 168, 199)
        images[self.rng.random((len(level), s, s)) < level[:, None, None]] = (110, 74, 146)
        return images

    def write_section(self, directory: Path) -> None:
        import h5py

        name = self.fake.name.replace("/", "_")
        for folder in ("patches", "metadata"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        with h5py.File(directory / "patches" / f"{name}.h5", "w") as handle:
            handle["img"] = self._patches(0.1 + 0.1 * self.truth[:, 0])
            handle["barcode"] = np.array([[b.encode()] for b in self.barcodes])
        metadata = {"pixel_size_um_estimated": 200 / PITCH, "inter_spot_dist": 200}
        (directory / "metadata" / f"{name}.json").write_text(json.dumps(metadata))

    def write_preprocessing(self, path: Path) -> None:
        from c2lst.data.genes import ExpressionScaler, GenePanel
        from c2lst.data.preprocessing import Preprocessing
        from c2lst.data.stain import StainReference

        stain, g = StainReference.standard(), self.fake.genes
        Preprocessing(
            panel=GenePanel(tuple(self.genes)),
            scaler=ExpressionScaler(1e4, np.zeros(g), np.ones(g), 5000.0),
            stain=stain,
            train_hash="cd" * 32,
            section_hash="ab" * 32,
            section=self.fake.name,
            patch_um=112.0,
            size=self.fake.patch,
            source_stain=StainReference(stain.matrix, 0.8 * stain.max_concentrations),
        ).save(path)

    def write_synthetic(self, directory: Path) -> None:
        import anndata
        import h5py
        import pandas as pd

        name = f"{self.fake.name.replace('/', '_')}_synthetic"
        sources = np.repeat(np.flatnonzero(self.role == "train"), 4)
        for folder in ("patches", "st"):
            (directory / folder).mkdir(parents=True, exist_ok=True)
        with h5py.File(directory / "patches" / f"{name}.h5", "w") as handle:
            handle["img"] = self._patches(0.1 + 0.1 * self.truth[sources, 0])
        obs = pd.DataFrame(
            {
                "source_barcode": self.barcodes[sources],
                "seed": np.arange(len(sources)),
                "guidance_scale": 3.0,
                "sampler": "ddim",
            },
            index=[f"synthetic_{k}" for k in range(len(sources))],
        )
        pairs = anndata.AnnData(self.truth[sources].astype(np.float32), obs=obs)
        pairs.write_h5ad(directory / "st" / f"{name}.h5ad")


def _write_csv(path: Path, rows: list[dict[str, object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
