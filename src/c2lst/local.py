"""The local model: a central model that a few paired spots have taught to listen to genes.

Paper §2.2: the central weights are frozen; a projection of the expression vector and its maps to
scale and shift of the residual blocks are all that trains.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from c2lst import __version__
from c2lst.central import CentralModel
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.data.synthetic import PARENT_SEPARATOR, SyntheticPairs
from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, dihedral, to_uint8, to_unit_range
from c2lst.diffusion.sampling import get_sampler, guided, sample
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.diffusion.weights import best_device, read_tensors
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import read_json, whole_directory, write_json

FORMAT = 1
ADAPTER_JSON = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PREPROCESSING_JSON = "preprocessing.json"


@dataclass(frozen=True)
class AdapterSettings:
    """How a central model is adapted.

    Parameters
    ----------
    training
        Steps, batch, rates (paper: 10,000 steps of 32, AdamW, EMA 0.999, 3 % warm-up).
    width
        Width of the gene embedding (open in the paper; ours).
    blocks
        Pattern of the residual blocks to modulate (open in the paper; all by default).
    null_probability
        Share of training images whose genes are replaced by the null condition, which guidance
        needs (value lost in the paper's text; ours).
    components
        The projection of genes starts at this many principal components of the training spots'
        expression: a few spots can't tell hundreds of noisy genes apart, but they do tell
        programmes apart. 0 starts it at random.
    """

    training: TrainSettings
    width: int = 128
    blocks: str = "*"
    null_probability: float = 0.2
    components: int = 16

    def __post_init__(self) -> None:
        if not 0 < self.null_probability < 1:
            raise InputError(
                "adapter settings",
                "null_probability",
                found=self.null_probability,
                expected="a share between 0 and 1",
            )


@dataclass(frozen=True)
class SynthesisSettings:
    """How synthetic pairs are drawn.

    Parameters
    ----------
    per_spot
        Images per training spot (paper: 1 to 10).
    guidance
        Conditioning scale s in null + s·(conditional - null) (paper: 3).
    sampler
        Sampler preset.
    policy
        Profiles to draw from: ``real``, the spots' own (paper), or ``mixup``, on the line between
        two training spots of like expression, which fills the gaps between sampled profiles.
    batch_size
        Images at a time; memory, not result.
    seed
        Image *i* depends on (seed, i) alone.
    """

    per_spot: int = 5
    guidance: float = 3.0
    sampler: str = "fast"
    policy: Literal["real", "mixup"] = "real"
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_spot < 1:
            raise InputError(
                "synthesis settings", "per_spot", found=self.per_spot, expected="at least 1"
            )
        if self.policy not in ("real", "mixup"):
            raise InputError(
                "synthesis settings", "policy", found=self.policy, expected="real or mixup"
            )
        get_sampler(self.sampler)


@dataclass
class LocalModel:
    """A central model with a gene-conditioned adapter.

    Parameters
    ----------
    central
        The frozen base.
    preprocessing
        Genes, expression transform and stain that the adapter was trained with.
    network
        The modulated U-Net.
    provenance
        What it was trained on and how.
    """

    central: CentralModel
    preprocessing: Preprocessing
    network: GeneModulatedUNet
    provenance: dict[str, Any]

    @classmethod
    def adapt(
        cls,
        central: CentralModel,
        section: Section,
        split: SpotSplit,
        preprocessing: Preprocessing,
        settings: AdapterSettings,
        *,
        directory: Path | None = None,
    ) -> LocalModel:
        """Train the gene modulation on the training spots of a section.

        Parameters
        ----------
        central
            The base; its weights do not change (checked by hash).
        section, split
            The slide, and which of its spots may be seen.
        preprocessing
            Fitted on the same training spots.
        settings
            Width, blocks, training.
        directory
            Where checkpoints go, to resume an interrupted adaptation.

        Raises
        ------
        InputError
            If the split or the preprocessing belong to other spots, or the patches do not fit the
            central model.
        """
        training = split.training(section)
        _check_fit(central, preprocessing, split)
        pairs = _Pairs(preprocessing.images(training), preprocessing.expression(training))
        torch.manual_seed(mix_seed(settings.training.seed, 2))
        network = GeneModulatedUNet(
            central.unet, len(preprocessing.panel.genes), settings.width, settings.blocks
        )
        if settings.components:
            _start_at_components(network.embedding.projection, pairs.expression.numpy(), settings)
        before = central.hash
        trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
        logger.info(
            "adapt: %d training spots, %d genes, %.2f M of %.1f M parameters train",
            len(pairs),
            len(preprocessing.panel.genes),
            trained / 1e6,
            sum(p.numel() for p in network.parameters()) / 1e6,
        )
        history = train(
            network,
            _ConditionalObjective(central.process, settings.null_probability),
            pairs,
            settings.training,
            directory=directory,
            label="adapt",
        )
        central.__dict__.pop("hash", None)
        if central.hash != before:
            raise RuntimeError("adaptation changed the central model's weights")
        provenance = {
            "base_hash": before,
            "section": section.name,
            "section_hash": section.content_hash,
            "train_hash": split.train_hash,
            "training_spots": len(pairs),
            "settings": asdict(settings),
            "parameters": trained,
            "final_loss": history.losses[-1],
        }
        return cls(central, preprocessing, network, provenance)

    def synthesize(
        self,
        section: Section,
        split: SpotSplit,
        settings: SynthesisSettings,
        *,
        directory: Path | None = None,
    ) -> SyntheticPairs:
        """Draw synthetic image-gene pairs from the profiles of the training spots.

        Parameters
        ----------
        section, split
            The slide and its split; only the training spots that the adapter saw are allowed.
        settings
            Images per spot, guidance, sampler, profiles.
        directory
            Where finished batches are kept, so that an interrupted synthesis continues.

        Raises
        ------
        InputError
            If the split's training spots are not those of the adapter.
        """
        training = split.training(section)
        if split.train_hash != self.provenance["train_hash"]:
            raise InputError(
                "split",
                "training spots are not those that the adapter was trained on",
                remedy="use the split that was given to `c2lst adapt`",
            )
        scaled = self.preprocessing.expression(training)
        profiles, sources = _profiles(scaled, training.barcodes, settings)
        seeds = [mix_seed(settings.seed, index) for index in range(len(profiles))]
        images = self.draw(profiles, seeds, settings, directory=directory)
        return SyntheticPairs(
            images=images,
            scaled=profiles,
            lognorm=self.preprocessing.scaler.unscale(profiles),
            genes=self.preprocessing.panel.genes,
            source_barcodes=sources,
            seeds=np.array(seeds, dtype=np.int64),
            guidance_scale=settings.guidance,
            sampler=settings.sampler,
            patch_um=self.central.patch_um,
            provenance={
                "c2lst": __version__,
                "base_hash": self.provenance["base_hash"],
                "train_hash": split.train_hash,
                "section": section.name,
                "settings": asdict(settings),
            },
        )

    def draw(
        self,
        profiles: np.ndarray,
        seeds: list[int],
        settings: SynthesisSettings,
        *,
        directory: Path | None = None,
    ) -> np.ndarray:
        """Draw one patch per scaled expression profile.

        Parameters
        ----------
        profiles
            ``(n, G)``, scaled as by this model's preprocessing.
        seeds
            One per patch.

        Returns
        -------
        numpy.ndarray
            uint8 RGB ``(n, size, size, 3)``.
        """
        device = best_device()
        network = self.network.to(device).eval()
        genes = torch.from_numpy(np.asarray(profiles, dtype=np.float32))

        def denoise(noisy: Tensor, timestep: int, chosen: slice) -> Tensor:
            expression = genes[chosen].to(device)
            if settings.guidance == 1:
                output: Tensor = network(noisy, timestep, expression)
                return output
            given = torch.arange(2 * len(noisy), device=device) < len(noisy)
            both = network(noisy.repeat(2, 1, 1, 1), timestep, expression.repeat(2, 1), given)
            conditional, null = both.float().chunk(2)
            return guided(conditional, null, settings.guidance)

        size = self.central.size
        images = sample(
            denoise,
            seeds,
            (3, size, size),
            self.central.process,
            get_sampler(settings.sampler),
            batch_size=settings.batch_size,
            device=device,
            directory=directory,
            label="synthesize",
        )
        return to_uint8(images).numpy()

    def save(self, directory: str | Path) -> None:
        """Write the adapter: its configuration, its weights and a card, without the base."""
        from safetensors.torch import save_file

        with whole_directory(directory) as partial:
            state = {k: v.cpu().contiguous() for k, v in self.network.adapter_state().items()}
            save_file(state, partial / ADAPTER_WEIGHTS)
            self.preprocessing.save(partial / PREPROCESSING_JSON)
            write_json(
                partial / ADAPTER_JSON,
                {
                    "format": FORMAT,
                    "c2lst": __version__,
                    "adapter_type": "gene_film",
                    "genes_hash": self.preprocessing.panel.hash,
                    "width": self.network.width,
                    "blocks": self.network.blocks,
                    "null_mode": "learned",
                    "patch_um": self.central.patch_um,
                    "size": self.central.size,
                    **self.provenance,
                },
            )
            (partial / "README.md").write_text(_card(self), encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path, central: CentralModel) -> LocalModel:
        """Read an adapter onto its central model.

        Raises
        ------
        InputError
            If the central model is not the one that the adapter was trained on, or the adapter's
            files do not fit together.
        """
        directory = Path(directory)
        if not directory.is_dir():
            raise InputError(directory, "no such folder", expected="an adapter")
        config = read_json(
            directory / ADAPTER_JSON,
            required=("format", "base_hash", "genes_hash", "train_hash", "width", "blocks"),
        )
        preprocessing = Preprocessing.load(directory / PREPROCESSING_JSON)
        _refuse_unlike(directory / ADAPTER_JSON, "format", config["format"], FORMAT)
        _refuse_unlike(directory, "central model", central.hash, config["base_hash"])
        _refuse_unlike(
            directory / PREPROCESSING_JSON, "genes", preprocessing.panel.hash, config["genes_hash"]
        )
        network = GeneModulatedUNet(
            central.unet, len(preprocessing.panel.genes), config["width"], config["blocks"]
        )
        network.load_adapter_state(read_tensors(directory / ADAPTER_WEIGHTS))
        kept = ("c2lst", "adapter_type", "format", "width", "blocks", "null_mode")
        provenance = {k: v for k, v in config.items() if k not in kept}
        return cls(central, preprocessing, network.eval(), provenance)


class _Pairs:
    """Training patches and their scaled expression."""

    def __init__(self, images: np.ndarray, expression: np.ndarray) -> None:
        self.images = torch.from_numpy(images)
        self.expression = torch.from_numpy(expression)

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        return {"images": self.images[indices], "expression": self.expression[indices]}


class _ConditionalObjective:
    """The conditional loss (paper Eq. 10) with the null condition mixed in."""

    def __init__(self, process: NoiseProcess, null_probability: float) -> None:
        self.loss = DenoisingLoss(process)
        self.null_probability = null_probability

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        clean = dihedral(to_unit_range(batch["images"]), draws.integers(8))
        noise = draws.normal(tuple(clean.shape[1:]))
        timesteps = draws.integers(self.loss.process.steps)
        given = draws.uniform() >= self.null_probability
        noisy = self.loss.add_noise(clean, noise, timesteps)
        return self.loss(
            model(noisy, timesteps, batch["expression"], given), clean, noise, timesteps
        )


def _start_at_components(
    projection: nn.Linear, expression: np.ndarray, settings: AdapterSettings
) -> None:
    """Set the first rows of the projection to whitened principal components, the rest to zero."""
    from sklearn.decomposition import PCA

    number = min(settings.components, settings.width, len(expression) - 1, expression.shape[1])
    components = PCA(number, whiten=True, random_state=0).fit(expression)
    scale = np.sqrt(components.explained_variance_)[:, None]
    rows = torch.from_numpy((components.components_ / scale).astype(np.float32))
    with torch.no_grad():
        projection.weight.zero_()
        projection.bias.zero_()
        projection.weight[:number] = rows


def _profiles(
    scaled: np.ndarray, barcodes: np.ndarray, settings: SynthesisSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Return the scaled profile of each image to draw, and the spots that it comes from."""
    rows = np.repeat(np.arange(len(scaled)), settings.per_spot)
    if settings.policy == "real":
        return scaled[rows], barcodes[rows]
    rng = np.random.default_rng((settings.seed, 3))
    partners = _neighbours(scaled)
    partner = partners[rows, rng.integers(partners.shape[1], size=len(rows))]
    share = rng.beta(1.0, 2.0, size=(len(rows), 1)).astype(np.float32)
    names = [
        f"{a}{PARENT_SEPARATOR}{b}" for a, b in zip(barcodes[rows], barcodes[partner], strict=True)
    ]
    return (1 - share) * scaled[rows] + share * scaled[partner], np.array(names)


def _neighbours(scaled: np.ndarray, number: int = 5) -> np.ndarray:
    """Return for each spot the rows of those of most like expression, itself left out."""
    from sklearn.neighbors import NearestNeighbors

    number = min(number, len(scaled) - 1)
    found = NearestNeighbors(n_neighbors=number).fit(scaled).kneighbors(return_distance=False)
    return np.asarray(found)


def _check_fit(central: CentralModel, preprocessing: Preprocessing, split: SpotSplit) -> None:
    if preprocessing.train_hash != split.train_hash:
        raise InputError(
            "preprocessing",
            "was fitted on other spots than this split's training spots",
            remedy="fit it again with this split",
        )
    _refuse_unlike("preprocessing", "patch size in px", preprocessing.size, central.size)
    # Files keep µm/px: the side comes back from them within rounding.
    if not math.isclose(preprocessing.patch_um, central.patch_um, rel_tol=0.01):
        _refuse_unlike(
            "preprocessing", "patch side in µm", preprocessing.patch_um, central.patch_um
        )
    if not preprocessing.stain.same_as(central.stain):
        raise InputError(
            "preprocessing",
            "has another stain reference than the central model",
            remedy="fit it with the central model's reference",
        )


def _refuse_unlike(where: str | Path, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise InputError(
            where,
            f"{what} does not match",
            found=str(found)[:16],
            expected=str(expected)[:16],
            remedy="use the files that were made together",
        )


def _card(model: LocalModel) -> str:
    made = model.provenance
    return f"""---
library_name: c2lst
tags: [histology, spatial-transcriptomics, adapter]
---
# Gene-conditioned adapter

Adapts the central model `{str(made["base_hash"])[:12]}` to section {made["section"]} with
{made["training_spots"]} paired spots and {len(model.preprocessing.panel.genes)} genes. Made by
c2lst {__version__}. Holds {made["parameters"]:,} weights and no weight of the central model.

It was trained on patient data of one institution. No privacy audit has been run on it: keep it
where the data may be kept.
"""
