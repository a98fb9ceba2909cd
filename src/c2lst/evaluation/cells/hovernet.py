"""HoVer-Net (Graham et al., Medical Image Analysis 2019) with the five PanNuke types.

Through tiatoolbox, which is no extra of c2lst: its pins exclude versions that others need. Its
weights, trained on PanNuke (Gamper et al. 2020), are for non-commercial use (CC BY-NC-SA 4.0).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.devices import best_device
from c2lst.errors import InputError
from c2lst.evaluation.cells.nuclei import Segmentation

if TYPE_CHECKING:
    from torch import Tensor

PANNUKE = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
MODEL = "hovernet_fast-pannuke"
UM_PER_PX = 0.25
WINDOW, CORE = 256, 164
"""Side of what the network sees, and of the middle of it that it judges, in px."""

_BATCH = 8


class HoverNetFinder:
    """Finds nuclei of five types.

    Parameters
    ----------
    weights
        File of the weights; fetched by tiatoolbox by default.

    Raises
    ------
    InputError
        If tiatoolbox is not installed, or the file is missing.
    """

    name = "hovernet"
    label = "HoVer-Net (PanNuke types)"
    kinds: tuple[str, ...] = PANNUKE

    def __init__(self, weights: Path | None = None) -> None:
        import torch

        try:
            from tiatoolbox.models.architecture import (  # type: ignore[import-not-found]
                fetch_pretrained_weights,
            )
            from tiatoolbox.models.architecture.hovernet import (  # type: ignore[import-not-found]
                HoVerNet,
            )
        except (ImportError, RuntimeError) as error:  # torchvision of another torch: RuntimeError
            raise InputError(
                "HoVer-Net", "tiatoolbox is not here",
                remedy="pip install 'tiatoolbox>=1.5', in an environment of its own if need be",
            ) from error  # fmt: skip
        if weights is not None and not weights.is_file():
            raise InputError(weights, "no such file", expected=f"weights of {MODEL}")
        path = weights or fetch_pretrained_weights(MODEL)
        self._network: Any = HoVerNet(num_types=len(PANNUKE) + 1, mode="fast").eval()
        # Tensors alone, which runs no code of the file.
        self._network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._device = best_device()
        self._network.to(self._device)

    def segment(self, images: np.ndarray, patch_um: float) -> Segmentation:
        """Find the nuclei of uint8 RGB patches ``(n, S, S, 3)``, ``patch_um`` wide."""
        labels, kinds, count = [], [np.empty(0, dtype=int)], 0
        for image in images:
            maps = self._maps(image, round(patch_um / UM_PER_PX))
            found = self._network.postproc(maps)[0]
            # From version 2 on, the areas come in a dictionary.
            areas = np.asarray(found["predictions"] if isinstance(found, dict) else found)
            numbers, types = _typed(areas.astype(int), maps[2][..., 0].astype(int))
            labels.append(np.where(numbers > 0, numbers + count, 0))
            kinds.append(types)
            count += len(types)
        return Segmentation(np.stack(labels), np.concatenate(kinds))

    def _maps(self, image: np.ndarray, side: int) -> list[np.ndarray]:
        """Whether nuclear, where in its nucleus, and of which type each pixel is, (G, G, …)."""
        import torch
        from torch.nn.functional import interpolate

        pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
        pixels = interpolate(pixels, size=(side, side), mode="bicubic", antialias=True)
        tiles = -(-side // CORE)
        before, after = (WINDOW - CORE) // 2, (WINDOW - CORE) // 2 + tiles * CORE - side
        # torch mirrors once, which is not enough for a patch narrower than what is added.
        around = ((0, 0), (before, after), (before, after))
        mirrored = np.pad(pixels[0].clamp(0, 255).numpy(), around, mode="reflect")
        padded = torch.from_numpy(mirrored)
        corners = [(i * CORE, j * CORE) for i in range(tiles) for j in range(tiles)]
        windows = torch.stack([padded[:, y : y + WINDOW, x : x + WINDOW] for y, x in corners])
        with torch.inference_mode():
            parts: list[dict[str, Tensor]] = [
                self._network(windows[start : start + _BATCH].to(self._device))
                for start in range(0, len(windows), _BATCH)
            ]
        joined = {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}
        nuclear = joined["np"].softmax(dim=1)[:, 1:]
        types = joined["tp"].argmax(dim=1, keepdim=True).float()
        return [
            _stitched(values.permute(0, 2, 3, 1).numpy(), tiles)[:side, :side]
            for values in (nuclear, joined["hv"], types)
        ]


def _typed(areas: np.ndarray, types: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count areas that have a type from 1 on; it is that of most of an area's pixels."""
    seen = np.zeros((areas.max() + 1, len(PANNUKE) + 1), dtype=int)
    np.add.at(seen, (areas.ravel(), types.ravel()), 1)
    seen[0] = 0
    known = seen[:, 1:].any(axis=1)
    return np.where(known, np.cumsum(known), 0)[areas], seen[known, 1:].argmax(axis=1)


def _stitched(cores: np.ndarray, tiles: int) -> np.ndarray:
    """Put judged middles ``(tiles², C, C, k)`` together, ``(tiles·C, tiles·C, k)``."""
    side, depth = cores.shape[1], cores.shape[3]
    grid = cores.reshape(tiles, tiles, side, side, depth).swapaxes(1, 2)
    return grid.reshape(tiles * side, tiles * side, depth)
