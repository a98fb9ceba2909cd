"""A trained super-resolution model: train, save, load, predict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from c2lst import __version__
from c2lst.devices import best_device
from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.weights import load_weights, read_tensors
from c2lst.errors import InputError
from c2lst.progress import progress_bar
from c2lst.storage import hash_arrays, read_json, whole_directory, write_json
from c2lst.superres.about import read_names, read_um
from c2lst.superres.card import model_card
from c2lst.superres.consistency import project
from c2lst.superres.lowres import LowRes
from c2lst.superres.maps import MapSample, SuperresMaps
from c2lst.superres.network import SuperresNetwork, count_parameters
from c2lst.superres.pooling import Sampling, pool_sum
from c2lst.superres.prediction import Moments, SuperresPrediction
from c2lst.superres.regression import PlainUNet, regress, train_regression
from c2lst.superres.sampling import STEPS, Solver, draw_map
from c2lst.superres.scaling import ExpressionScale
from c2lst.superres.settings import SuperresSettings
from c2lst.superres.tiles import Tiles
from c2lst.superres.training import train_network
from c2lst.superres.windows import Field

FORMAT = 1
MODEL_JSON = "superres.json"
NETWORK, SCALE, REGRESSION = "network.safetensors", "scale.safetensors", "regression.safetensors"
CARD = "README.md"
MODEL_FILES = (MODEL_JSON, NETWORK, SCALE, REGRESSION, CARD)
_KEYS = ("format", "genes", "lr_um", "sampling", "settings", "patients", "provenance")


@dataclass
class SuperresModel:
    """A diffusion model of maps of expression, given spots and image.

    Parameters
    ----------
    network
        With averaged weights.
    scale
        Of the training maps' expression.
    settings
        Of network and training.
    genes
        That it predicts, in order.
    lr_um, sampling
        Side of a spot's square in µm, and what of it a spot counts.
    patients
        Whose maps it was trained on.
    regression
        The plain U-Net, where one was trained.
    provenance
        What it was trained on and how.
    """

    network: SuperresNetwork
    scale: ExpressionScale
    settings: SuperresSettings
    genes: tuple[str, ...]
    lr_um: float
    sampling: Sampling
    patients: tuple[str, ...]
    regression: PlainUNet | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def train(
        cls,
        maps: SuperresMaps,
        settings: SuperresSettings,
        *,
        held_out: Sequence[str] = (),
        directory: Path | None = None,
    ) -> SuperresModel:
        """Train a model on the maps of all patients but those held out.

        Parameters
        ----------
        maps
            Maps; bins finer than the settings' scale asks for are pooled.
        settings
            Of network and training.
        held_out
            Patients kept for evaluation.
        directory
            Where checkpoints go, to go on after an interruption.

        Raises
        ------
        InputError
            If no patient is left, the maps have no such scale, or their image is too coarse.
        """
        unknown = sorted(set(held_out) - set(maps.patients))
        kept = [patient for patient in maps.patients if patient not in held_out]
        if unknown or not kept:
            raise InputError(
                "--hold-out",
                f"there is no patient {unknown[0]!r}" if unknown else "no patient is left",
                expected=f"some of {', '.join(maps.patients)}",
            )  # fmt: skip
        training = maps.of(kept).at_scale(settings.scale)
        scale = ExpressionScale.fit(
            training, settings.normalisation, residual=settings.interpolates
        )
        about = {
            "maps": hash_arrays(_content(training)),
            "network": {
                k: v for k, v in settings.to_dict().items() if k not in ("training", "regression")
            },
        }
        network, history = train_network(
            training, scale, settings, directory=directory, about=about
        )
        regression = None
        if settings.regression is not None:
            regression = train_regression(
                training, scale, settings, settings.regression,
                directory=None if directory is None else directory / "regression", about=about,
            )  # fmt: skip
        provenance = {
            "maps": maps.source,
            "samples": [sample.name for sample in training.samples],
            "counts": [counts_hash(sample) for sample in training.samples],
            "held_out": list(held_out),
            "final_loss": history.losses[-1],
            "parameters": count_parameters(network),
        }
        return cls(
            network.cpu().eval(), scale, settings, maps.genes, maps.lr_um, maps.sampling,
            tuple(kept), regression, provenance,
        )  # fmt: skip

    @property
    def bin_um(self) -> float:
        """Side of a predicted bin in µm."""
        return self.lr_um / self.settings.scale

    def predict(
        self,
        low: LowRes,
        *,
        samples: int = 8,
        scale: int | None = None,
        solver: Solver = "ancestral",
        steps: int = STEPS,
        seed: int = 0,
        consistent: bool = True,
        batch_size: int = 16,
    ) -> SuperresPrediction:
        """Predict the bins of an area.

        Parameters
        ----------
        low
            Spots of the model's genes, at its scale, and the image.
        samples
            Maps drawn; their mean and standard deviation are returned.
        scale
            Bins along a spot that are wanted; by default the model's, else a divisor of it.
        solver, steps
            How a map is drawn.
        seed
            Another seed, other maps.
        consistent
            Bring each map to agreement with the spots' counts; a model that may not know the spots
            (``image-only``) leaves them out here, too. With ``paper`` normalisation it is what
            gives a unit.
        batch_size
            Tiles at a time; memory, not result (up to rounding).

        Raises
        ------
        InputError
            If genes, scale, µm or image are not the model's, or there is no tissue.
        """
        factor = self._factor(scale)
        agreeing = consistent and self.settings.components.use_spots
        self._check(low)
        for option, number in (("--samples", samples), ("--batch-size", batch_size)):
            if number < 1:
                raise InputError(option, "number", found=number, expected="1 or more")
        tiles, network = self._tiles(low, batch_size), self.network.to(best_device()).eval()
        height, width = low.tissue.shape
        in_counts, in_logs, first = Moments(), Moments(), np.zeros(())
        with progress_bar(f"maps of {low.name}", samples) as bar:
            for number in range(samples):
                drawn = draw_map(
                    network, tiles, self.scale, self.settings.process, genes=len(self.genes),
                    seed=mix_seed(seed, number), solver=solver, steps=steps,
                )  # fmt: skip
                drawn = drawn[:, :height, :width] * low.tissue
                if agreeing:
                    drawn = project(drawn, low.spots, low.tissue, low.scale, low.sampling)
                if factor > 1:
                    drawn = pool_sum(drawn, factor)
                first = drawn if number == 0 else first
                in_counts.add(drawn)
                in_logs.add(np.log1p(drawn))
                bar.advance()
        tissue = low.tissue
        if factor > 1:
            tissue = pool_sum(tissue[None], factor)[0] >= factor**2 / 2
        has_unit = self.settings.normalisation == "log1p" or agreeing
        return SuperresPrediction(
            low.name, self.genes, in_counts.mean, in_counts.sd, in_logs.mean, in_logs.sd, first,
            tissue, self.bin_um * factor, low.origin_um, samples,
            "counts" if has_unit else "relative",
            {"solver": solver, "steps": steps, "seed": seed, "consistent": agreeing},
        )  # fmt: skip

    def regress(self, low: LowRes, *, batch_size: int = 16) -> np.ndarray | None:
        """Predict counts by the plain U-Net, ``(G, H, W)``; none where none was trained."""
        if self.regression is None:
            return None
        self._check(low)
        height, width = low.tissue.shape
        network = self.regression.to(best_device()).eval()
        found = regress(network, self._tiles(low, batch_size), self.scale, len(self.genes))
        return found[:, :height, :width] * low.tissue

    def _tiles(self, low: LowRes, batch_size: int) -> Tiles:
        area = Field(low, self.settings)
        return Tiles(area, self.scale, self.settings, batch_size=batch_size, device=best_device())

    def _factor(self, scale: int | None) -> int:
        own = self.settings.scale
        if scale is None:
            return 1
        if not 1 < scale <= own or own % scale:
            raise InputError(
                "--scale", "is not one that this model gives", found=scale,
                expected=" or ".join(str(s) for s in range(2, own + 1) if own % s == 0),
            )  # fmt: skip
        return own // scale

    def _check(self, low: LowRes) -> None:
        low.require(self.genes, self.settings.scale, self.lr_um, self.sampling)

    def save(self, directory: str | Path) -> None:
        """Write weights and scale as safetensors, all else as JSON, and a card.

        An earlier model there is replaced, anything else is refused.
        """
        from safetensors.numpy import save_file as save_arrays
        from safetensors.torch import save_file

        with whole_directory(directory, MODEL_FILES) as folder:
            save_file(self.network.cpu().state_dict(), folder / NETWORK)
            save_arrays(self.scale.arrays(), folder / SCALE)
            if self.regression is not None:
                save_file(self.regression.cpu().state_dict(), folder / REGRESSION)
            about = {
                "format": FORMAT, "c2lst": __version__, "genes": list(self.genes),
                "lr_um": self.lr_um, "sampling": self.sampling, "patients": list(self.patients),
                "settings": self.settings.to_dict(), "provenance": self.provenance,
            }  # fmt: skip
            write_json(folder / MODEL_JSON, about)
            (folder / CARD).write_text(model_card(about, self.bin_um), encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path) -> SuperresModel:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If a file is missing, or a weight is missing, unexpected or of another shape.
        """
        folder = Path(directory)
        about = read_json(folder / MODEL_JSON, required=_KEYS)
        if about["format"] != FORMAT:
            raise InputError(folder / MODEL_JSON, "format", found=about["format"], expected=FORMAT)
        settings = SuperresSettings.from_dict(about["settings"])
        genes = read_names(about, "genes", folder / MODEL_JSON)
        network = SuperresNetwork(len(genes), settings)
        load_weights(network, folder / NETWORK)
        arrays = {name: values.numpy() for name, values in read_tensors(folder / SCALE).items()}
        scale = ExpressionScale.of_arrays(arrays, settings.normalisation)
        if len(scale.hr_mean) != len(genes):
            raise InputError(
                folder / SCALE, "genes", found=len(scale.hr_mean), expected=len(genes),
                remedy="copy the model again",
            )  # fmt: skip
        regression = None
        if (folder / REGRESSION).is_file():
            regression = PlainUNet(len(genes), settings)
            load_weights(regression, folder / REGRESSION)
        return cls(
            network.eval(), scale, settings, genes, read_um(about, "lr_um", folder / MODEL_JSON),
            about["sampling"], read_names(about, "patients", folder / MODEL_JSON), regression,
            about["provenance"],
        )  # fmt: skip


def counts_hash(sample: MapSample) -> str:
    """SHA-256 of the counts of an area, by which it is known again under another name."""
    return hash_arrays({"counts": sample.counts})


def _content(maps: SuperresMaps) -> dict[str, np.ndarray]:
    """All that a training sees of maps."""
    content = {}
    for sample in maps.samples:
        for what, values in (("counts", sample.counts), ("spots", maps.spots(sample)),
                             ("image", sample.image), ("tissue", sample.tissue)):  # fmt: skip
            content[f"{sample.name} {what}"] = values
    return content
