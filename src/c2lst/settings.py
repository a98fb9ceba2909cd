"""Presets of a whole run, and what a TOML file or the command line changes in them."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from c2lst.central import CentralSettings
from c2lst.data.split import SCHEMES, Scheme
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.trainer import TrainSettings
from c2lst.diffusion.unet import UNetShape
from c2lst.errors import InputError
from c2lst.local import AdapterSettings, SynthesisSettings
from c2lst.prediction.network_baselines import NETWORKS, once_each
from c2lst.prediction.predictor import PredictorSettings
from c2lst.rules import above, at_least, hold, one_of, share, whole

Advise = Literal["quick", "full"]


@dataclass(frozen=True)
class RunSettings:
    """Everything that shapes the result of a run, apart from its input.

    Parameters
    ----------
    preset
        Name of the preset that the rest started from.
    seed
        One seed for split, training, synthesis and evaluation.
    fraction, scheme
        Share of spots that are sequenced and how they are chosen
        (:class:`~c2lst.data.split.SpotSplit`).
    genes
        Size of the panel: the genes of highest mean in the training spots (paper: 250).
    patch_um
        Side of a patch in µm (paper: 112).
    slide_tissue
        Whether a central model that is pretrained in the run on a collection also sees the
        slide's own unlabelled tissue outside the test spots. Such a model is the lab's own: it
        has seen the slide.
    slide_steps
        Updates by which a central model that is given goes on with that tissue before it is
        adapted; 0 adapts it as it is (paper).
    advise
        How the predictor is chosen inside the training spots: ``quick`` between those that are
        trained anyway, ``full`` also between ratios of synthetic to real pairs
        (:func:`~c2lst.prediction.advised.fit_advised`).
    pitch_um
        Distance between the places of the map between the spots, µm. 0 leaves that map out, but
        where every spot is sequenced (scheme ``all``) it means half the pitch of the array.
    baselines
        Networks of the field that are trained as baselines, on real pairs alone, beside those that
        are no networks: of :data:`~c2lst.prediction.network_baselines.NETWORKS`. They take long
        without an accelerator, and may be added to a run that is there.
    central, adapter, synthesis, prediction
        Settings of the stages.
    """

    preset: str
    central: CentralSettings
    adapter: AdapterSettings
    synthesis: SynthesisSettings
    prediction: PredictorSettings
    seed: int = 0
    fraction: float = 0.25
    scheme: Scheme = "random"
    genes: int = 250
    patch_um: float = 112.0
    slide_tissue: bool = True
    slide_steps: int = 0
    advise: Advise = "quick"
    pitch_um: float = 0.0
    baselines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hold(
            self,
            "settings",
            seed=whole(),
            fraction=share(none=False, all_=False),
            scheme=one_of(SCHEMES),
            genes=whole(2),
            patch_um=above(0),
            slide_steps=whole(),
            advise=one_of(Advise),
            pitch_um=at_least(0),
        )
        object.__setattr__(self, "baselines", once_each(self.baselines, "settings"))

    def seeded(self) -> RunSettings:
        """Give the seed of the run to every stage."""

        def with_seed(training: TrainSettings) -> TrainSettings:
            return dataclasses.replace(training, seed=self.seed)

        return dataclasses.replace(
            self,
            central=dataclasses.replace(self.central, training=with_seed(self.central.training)),
            adapter=dataclasses.replace(self.adapter, training=with_seed(self.adapter.training)),
            synthesis=dataclasses.replace(self.synthesis, seed=self.seed),
            prediction=dataclasses.replace(self.prediction, seed=self.seed),
        )


def _tiny() -> RunSettings:
    """Take minutes on two cores: 32 px patches, for the simulated tissue and for a first look."""
    return RunSettings(
        preset="tiny",
        central=CentralSettings(
            UNetShape(size=32, widths=(32, 64, 96, 128), layers=1, groups=16),
            NoiseProcess(prediction="v_prediction"),
            # Small batches: at this length, more updates do more than less noise in each.
            TrainSettings(
                steps=1200,
                batch_size=12,
                learning_rate=8e-4,
                schedule="cosine",
                ema_decay=0.995,
                precision="bf16",
                checkpoint_every=100,
            ),
        ),
        adapter=AdapterSettings(
            TrainSettings(
                steps=400,
                batch_size=16,
                learning_rate=1e-3,
                schedule="cosine",
                ema_decay=0.99,
                precision="bf16",
                checkpoint_every=100,
            ),
            width=64,
        ),
        synthesis=SynthesisSettings(per_spot=5, guidance=2.0, sampler="fast"),
        prediction=PredictorSettings(
            network="resnet-tiny", folds=3, steps=800, learning_rate=5e-4, precision="bf16"
        ),
    )


def _small() -> RunSettings:
    """Take under an hour on two cores: 48 px patches of a real slide."""
    return RunSettings(
        preset="small",
        central=CentralSettings(
            UNetShape(size=48, widths=(48, 96, 144, 192), layers=1, groups=16),
            NoiseProcess(prediction="v_prediction"),
            TrainSettings(
                steps=1600,
                batch_size=16,
                learning_rate=5e-4,
                schedule="cosine",
                ema_decay=0.998,
                precision="bf16",
                checkpoint_every=100,
            ),
        ),
        adapter=AdapterSettings(
            TrainSettings(
                steps=500,
                batch_size=16,
                learning_rate=1e-3,
                schedule="cosine",
                ema_decay=0.99,
                precision="bf16",
                checkpoint_every=100,
            ),
            width=64,
        ),
        synthesis=SynthesisSettings(per_spot=5, guidance=2.0, sampler="fast"),
        prediction=PredictorSettings(
            network="resnet-tiny", folds=3, steps=600, learning_rate=3e-4, precision="bf16"
        ),
    )


def _base() -> RunSettings:
    """Follow the paper's sizes with what was learnt since; for accelerators.

    Velocity prediction, the power-function average of Karras et al. (CVPR 2024) over a constant
    learning rate, a quarter of the paper's steps, half width. What did not help on a small network
    at equal compute is left out (``docs/central.md``).
    """
    paper = _paper()
    return dataclasses.replace(
        paper,
        preset="base",
        central=CentralSettings(
            paper.central.shape,
            NoiseProcess(prediction="v_prediction"),
            TrainSettings(
                steps=50_000,
                batch_size=256,
                learning_rate=2e-4,
                # The first length is what the model ends with; the second lets any other be made.
                ema_decay=None,
                ema_lengths=(0.05, 0.1),
                ema_snapshots=8,
                precision="bf16",
                checkpoint_every=1000,
            ),
        ),
        synthesis=dataclasses.replace(paper.synthesis, sampler="faithful"),
    )


def _paper() -> RunSettings:
    """Follow the paper (§2.5); for accelerators.

    Each setting is the paper's or says that it is ours, as the paper leaves it open.
    """
    return RunSettings(
        preset="paper",
        # Ours: a lab's own slide is no part of what a central party trains on.
        slide_tissue=False,
        central=CentralSettings(
            # Paper: initial width 64, four scales. Ours: 64 px; widths doubling, as in DDPM; two
            # residual blocks a scale; attention at the coarsest scale only.
            UNetShape(size=64, widths=(64, 128, 256, 512), layers=2, groups=32),
            # Paper: noise prediction, min-SNR γ = 5. Ours: T = 1000, the cosine schedule.
            NoiseProcess(prediction="epsilon", min_snr_gamma=5.0),
            # Paper: 200,000 steps, AdamW, EMA 0.999 at every step, and "batch 256, gradient
            # accumulation 4", which we read as 256 images an update, in four parts if need be.
            # Ours: learning rate 1e-4, constant after a warm-up of 3 % (which the paper has for
            # the local model); AdamW's weight decay of 0.01; gradients clipped at 1; float32.
            TrainSettings(
                steps=200_000,
                batch_size=256,
                learning_rate=1e-4,
                ema_decay=0.999,
                checkpoint_every=1000,
            ),
            # Ours: the paper names no augmentation; turned or mirrored, tissue is as likely.
            dihedral=True,
        ),
        adapter=AdapterSettings(
            TrainSettings(
                steps=10_000,
                batch_size=32 * 8,
                micro_batch=32,
                learning_rate=1e-4,
                ema_decay=0.999,
                checkpoint_every=500,
            ),
            null_probability=0.5,
            components=0,
        ),
        # Ours: images at a time, which an accelerator is for.
        synthesis=SynthesisSettings(per_spot=10, guidance=3.0, sampler="paper", batch_size=128),
        # Ours: counting the predictor's training in steps, where the paper's 200 epochs grow with
        # the data.
        prediction=PredictorSettings(network="resnet-50", steps=4000, learning_rate=1e-4),
        baselines=NETWORKS,
    )


PRESETS = {"tiny": _tiny, "small": _small, "base": _base, "paper": _paper}


def load_settings(
    preset: str, config: Path | None = None, options: Mapping[str, Any] | None = None
) -> RunSettings:
    """Combine a preset, a TOML file and options; the later wins over the earlier.

    Parameters
    ----------
    preset
        ``tiny``, ``small``, ``base`` or ``paper``.
    config
        TOML file whose tables and keys are the fields of :class:`RunSettings`.
    options
        From the command line; values of ``None`` are options that were not given.

    Raises
    ------
    InputError
        If a name is unknown or a value is of the wrong type.
    """
    if preset not in PRESETS:
        raise InputError("settings", "preset", found=preset, expected=" or ".join(PRESETS))
    settings = PRESETS[preset]()
    if config is not None:
        table = _read_toml(config)
        _refuse_seeds_of_stages(table, config)
        settings = _override(settings, table, str(config))
    given = {k: v for k, v in (options or {}).items() if v is not None}
    return _override(settings, given, "command line").seeded()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # Editors on Windows put a mark of the encoding first, which TOML does not know.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(path, "no such file", expected="a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(path, f"is not readable TOML ({error})") from error


def _refuse_seeds_of_stages(table: Mapping[str, Any], path: Path, within: str = "") -> None:
    """Refuse what would be ignored: the seed of the run goes to every stage."""
    for name, value in table.items():
        if name == "seed" and within:
            raise InputError(
                path, f"unknown setting 'seed' in [{within}]", found=value,
                expected="one seed for everything", remedy="set it above all tables",
            )  # fmt: skip
        if isinstance(value, Mapping):
            _refuse_seeds_of_stages(value, path, f"{within}.{name}" if within else name)


def _override(settings: Any, changes: Mapping[str, Any], where: str) -> Any:
    """Replace fields of nested dataclasses, refusing unknown names and wrong types."""
    hints = get_type_hints(type(settings))
    known = {f.name for f in dataclasses.fields(settings)}
    replaced = {}
    for name, value in changes.items():
        if name not in known or name == "preset":
            raise InputError(
                where, f"unknown setting {name!r}", expected=", ".join(sorted(known - {"preset"}))
            )
        current = getattr(settings, name)
        if dataclasses.is_dataclass(current):
            replaced[name] = _override(current, _table(value, name, where), where)
        else:
            replaced[name] = _like(hints[name], value, name, where)
    return dataclasses.replace(settings, **replaced)


def _table(value: object, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(where, name, found=value, expected=f"a table [{name}]")
    return value


def _like(hint: Any, value: object, name: str, where: str) -> object:
    """Return ``value`` as a field of this type takes it; refuse one of another type.

    It is the type that counts and not the value that is there, which may be None.
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if dataclasses.is_dataclass(kind):
            table, fields = _table(value, name, where), get_type_hints(kind)
            return {k: _like(fields.get(k, object), v, k, where) for k, v in table.items()}
        if get_origin(kind) is tuple and isinstance(value, list | tuple):
            return tuple(_like(get_args(kind)[0], each, name, where) for each in value)
        if _fits(kind, value):
            # A whole number stands for a float.
            return float(value) if kind is float else value  # type: ignore[arg-type]
    names = " or ".join(map(_named, (kind for kind in kinds if kind is not type(None))))
    raise InputError(where, f"setting {name!r}", found=repr(value), expected=names)


def _fits(kind: Any, value: object) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not math.isnan(value)  # type: ignore[arg-type]
    # A truth value is no number, though Python takes it for one.
    return kind is object or type(value) is kind


def _named(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return str(get_origin(kind).__name__ if get_origin(kind) else kind.__name__)
