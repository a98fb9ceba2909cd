"""From a spot, a change of its genes and a noise to images: all that the explorer does."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from c2lst.diffusion.draws import mix_seed
from c2lst.errors import InputError
from c2lst.explorer.handles import Handles
from c2lst.explorer.slide_map import SlideMap
from c2lst.explorer.view import Choice, View
from c2lst.local.artefact import ADAPTER_JSON
from c2lst.local.synthesis import SynthesisSettings

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local.model import LocalModel

KEPT_IMAGES = 2048
_FEWEST_SPOTS = 3
_EPSILON = 1e-4


class Explorer:
    """An adapter and the training spots it may be asked about.

    Images that were drawn are kept (the last 2,048), so that going back costs nothing.

    Parameters
    ----------
    local
        The local model.
    section, split
        What it was adapted to; only training spots are shown.

    Raises
    ------
    InputError
        If there are fewer than three training spots.
    """

    def __init__(self, local: LocalModel, section: Section, split: SpotSplit) -> None:
        from c2lst.evaluation.appearance import nuclear_threshold

        training = split.training(section)
        if len(training) < _FEWEST_SPOTS:
            raise InputError(
                "split", "too few training spots to explore",
                found=len(training), expected=f"at least {_FEWEST_SPOTS}",
            )  # fmt: skip
        preprocessing = local.preprocessing
        self.local = local
        self.name = section.name
        self.spots: list[str] = training.barcodes.tolist()
        self.profiles = preprocessing.expression(training)
        self.real = preprocessing.images(training)
        self.handles = Handles.fit(self.profiles, preprocessing.panel.genes)
        self.map = SlideMap.of(training)
        self._threshold = nuclear_threshold(
            self.real, preprocessing.patch_um, stain=preprocessing.stain
        )
        self._images: OrderedDict[tuple[bytes, int, float, str], np.ndarray] = OrderedDict()
        self._one_at_a_time = Lock()

    @classmethod
    def open(
        cls,
        folder: str | Path,
        *,
        section: Path | None = None,
        split: Path | None = None,
        central: str | Path | None = None,
    ) -> Explorer:
        """Open a run or an adapter.

        Parameters
        ----------
        folder
            Of ``c2lst run``, or of ``c2lst adapt``.
        section, split, central
            What the adapter was made from; noted with it, or found in the run.

        Raises
        ------
        InputError
            If the folder is neither, or something that it was made from is not there.
        """
        from c2lst.local.sources import open_adapter, open_spots

        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(folder, "no such folder", expected="a run, or an adapter")
        adapter = folder
        if not (folder / ADAPTER_JSON).is_file():
            adapter = folder / "adapter"
            if not (adapter / ADAPTER_JSON).is_file():
                raise InputError(
                    folder,
                    "holds no adapter",
                    expected=f"a run of c2lst, or {ADAPTER_JSON}",
                    remedy="give the folder of `c2lst run` or `c2lst adapt`",
                )
            # A run has everything beside its adapter, wherever it was moved to.
            section = section or _existing(folder / "section")
            split = split or _existing(folder / "split.json")
            central = central or _existing(folder / "central")
        local = open_adapter(adapter, central)
        return cls(local, *open_spots(adapter, local, section, split))

    def index(self, spot: str) -> int:
        """Position of a training spot.

        Raises
        ------
        InputError
            If it is none.
        """
        if spot not in self.spots:
            raise InputError(
                f"spot {spot!r}",
                "is not a training spot",
                expected=f"one of {len(self.spots)}, such as {str(self.spots[0])!r}",
            )
        return self.spots.index(spot)

    def most_average(self) -> str:
        """Barcode of the spot whose profile is nearest to the mean profile, which is 0."""
        return self.spots[int(np.linalg.norm(self.profiles, axis=1).argmin())]

    def score(self, handle: str) -> np.ndarray:
        """Where a handle is high: standardised value of each spot, float32 (n,)."""
        values = self.profiles @ self.handles.direction(handle)
        return np.asarray((values - values.mean()) / max(float(values.std()), 1e-12))

    def reach(self, handle: str, spot: str) -> tuple[float, float]:
        """Lowest and highest step along a handle that stay among the training spots.

        Parameters
        ----------
        handle
            Gene or programme.
        spot
            From which the steps start; 0 lies between the two.
        """
        direction = self.handles.direction(handle)
        along = self.profiles @ direction
        steps = (along - along[self.index(spot)]) / max(float(direction @ direction), 1e-12)
        return float(steps.min()), float(steps.max())

    def view(self, choice: Choice) -> View:
        """Draw what a choice asks for; all that is new in one batch.

        Raises
        ------
        InputError
            If the spot, a handle, the sampler or the guidance scale cannot be.
        """
        if choice.noises < 1:
            raise InputError("noises", "at least one is needed", found=choice.noises)
        row = self.index(choice.spot)
        own, moved = self.profiles[row], self.handles.move(self.profiles[row], choice.moves)
        own_images, moved_images = self._drawn([own, moved], choice)
        return View(
            real=self.real[row],
            own=own_images,
            moved=moved_images,
            measures=self._measures(self.real[row], own_images, moved_images),
            outside=self._outside(moved, choice.moves),
            below_zero=self._below_zero(own, moved),
        )

    def _drawn(self, profiles: Sequence[np.ndarray], choice: Choice) -> np.ndarray:
        """Images (profiles, N, S, S, 3), each profile under the same noises."""
        settings = SynthesisSettings(guidance=choice.guidance, sampler=choice.sampler)
        seeds = [mix_seed(choice.seed, number) for number in range(choice.noises)]
        wanted = {
            (profile.tobytes(), seed, choice.guidance, choice.sampler): profile
            for profile in profiles
            for seed in seeds
        }
        with self._one_at_a_time:
            new = [key for key in wanted if key not in self._images]
            if new:
                asked = np.stack([wanted[key] for key in new])
                settings = replace(settings, batch_size=min(settings.batch_size, len(new)))
                drawn = self.local.draw(asked, [key[1] for key in new], settings)
                self._images.update(zip(new, drawn, strict=True))
            for key in wanted:
                self._images.move_to_end(key)
            found = {key: self._images[key] for key in wanted}
            while len(self._images) > KEPT_IMAGES:
                self._images.popitem(last=False)
        rows = [
            [found[profile.tobytes(), seed, choice.guidance, choice.sampler] for seed in seeds]
            for profile in profiles
        ]
        return np.array(rows)

    def _measures(
        self, real: np.ndarray, own: np.ndarray, moved: np.ndarray
    ) -> dict[str, tuple[float, float, float]]:
        from c2lst.evaluation.appearance import measure

        preprocessing, noises = self.local.preprocessing, len(own)
        found = measure(
            np.concatenate([real[None], own, moved]),
            preprocessing.patch_um,
            stain=preprocessing.stain,
            threshold=self._threshold,
        )
        return {
            name: (
                float(values[0]),
                float(values[1 : 1 + noises].mean()),
                float(values[1 + noises :].mean()),
            )
            for name, values in found.items()
        }

    def _outside(self, moved: np.ndarray, moves: Mapping[str, float]) -> tuple[str, ...]:
        beyond = []
        for handle in (name for name, steps in moves.items() if steps):
            direction = self.handles.direction(handle)
            along, here = self.profiles @ direction, float(moved @ direction)
            if not along.min() - _EPSILON <= here <= along.max() + _EPSILON:
                beyond.append(handle)
        return tuple(beyond)

    def _below_zero(self, own: np.ndarray, moved: np.ndarray) -> tuple[str, ...]:
        preprocessing = self.local.preprocessing
        below = (preprocessing.scaler.unscale(moved[None])[0] < -_EPSILON) & (moved != own)
        return tuple(preprocessing.panel.genes[k] for k in np.flatnonzero(below))


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
