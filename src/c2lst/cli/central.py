"""Commands of the central model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell

if TYPE_CHECKING:
    from c2lst.central.monitor import HeldOut
    from c2lst.data.stain import StainReference

CentralModelAt = Annotated[str, typer.Argument(metavar="CENTRAL", help=f"{opt.A_CENTRAL}.")]


def pretrain(
    collection: Annotated[
        str, typer.Argument(help="Collection, its URL, or a folder of H&E patches.")
    ],
    output: opt.Output,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
    steps: Annotated[int | None, typer.Option(help="Optimiser updates.")] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Images per update, over all processes and micro-batches."),
    ] = None,
    precision: Annotated[
        Literal["bf16", "fp16", "fp32"] | None, typer.Option(help="Of the forward pass.")
    ] = None,
    compile_model: Annotated[
        bool | None, typer.Option("--compile/--no-compile", help="Use torch.compile.")
    ] = None,
    resume: Annotated[
        Literal["auto", "never"],
        typer.Option(help="Continue an interrupted training, or start afresh."),
    ] = "auto",
    tracker: Annotated[
        Literal["none", "tensorboard", "wandb", "mlflow"] | None,
        typer.Option(help="Where the log goes beside log.jsonl."),
    ] = None,
    watch: Annotated[
        int, typer.Option(help="How often samples are drawn and scored during the training.")
    ] = 5,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="CENTRAL", help=f"{opt.A_CENTRAL}; its training goes on."),
    ] = None,
    patch_um: Annotated[
        float | None, typer.Option(help="Side of the patches in µm; 112, or that of --from.")
    ] = None,
    mpp: Annotated[
        float | None,
        typer.Option(help="µm per px of the images; without it each is taken whole as a patch."),
    ] = None,
) -> None:
    """Train a central model on unlabelled H&E patches.

    On several GPUs: accelerate launch -m c2lst pretrain … with the same options.
    """
    from c2lst.central import CentralModel
    from c2lst.central.files import CENTRAL_FILES
    from c2lst.central.monitor import WatchSettings
    from c2lst.data.collections import open_collection
    from c2lst.data.stain import StainReference
    from c2lst.diffusion.processes import Processes
    from c2lst.settings import load_settings

    processes = Processes()
    training = {
        "steps": steps,
        "batch_size": batch_size,
        "precision": precision,
        "compile": compile_model,
        "tracker": tracker,
    }
    changes: dict[str, Any] = {"training": {k: v for k, v in training.items() if v is not None}}
    asked = load_settings(preset, config, {"seed": seed, "patch_um": patch_um, "central": changes})
    settings = asked.central
    work = opt.scratch(output)
    if resume == "never":
        processes.main_first(lambda: _start_afresh(work))
    opt.refuse_finished(output, CENTRAL_FILES, unless=resume == "never")
    base = CentralModel.load(start) if start else None
    size = base.size if base else settings.shape.size
    # A side that was asked for wins over that of a model whose training goes on.
    side_um = base.patch_um if base and patch_um is None else asked.patch_um
    cut: dict[str, Any] = {"size": size, "patch_um": side_um, "mpp": mpp}
    patches = open_collection(collection, **cut)
    stain = base.stain if base else StainReference.typical(patches.some())
    model = CentralModel.pretrain(
        patches.recoloured(stain),
        settings,
        patch_um=side_um,
        stain=stain,
        start=base,
        directory=work,
        watch=WatchSettings(times=watch) if watch else None,
        held_out=_held_out(collection, stain, cut) if watch and processes.is_main else None,
    )
    if processes.is_main:
        model.provenance["preset"] = preset
        model.save(output, training=work)
        opt.clear_scratch(output)
        tell(f"central model {model.hash[:12]} → {output}")


def _held_out(collection: str, stain: StainReference, cut: dict[str, Any]) -> HeldOut | None:
    """Return the validation patches of a collection that has some."""
    import numpy as np

    from c2lst.central.monitor import HeldOut
    from c2lst.data.collections import open_collection
    from c2lst.errors import InputError
    from c2lst.progress import logger

    try:
        patches = open_collection(collection, split="validation", **cut)
    except InputError as missing:
        logger.info("samples are shown but not scored: %s", missing)
        return None
    # Of all patches, those of the validation split come last.
    batches = patches.images.store.columns(["group"])
    groups = np.concatenate([batch.column("group").to_numpy(False) for batch in batches])
    return HeldOut(patches.recoloured(stain), groups[-len(patches) :])


def _start_afresh(work: Path) -> int:
    shutil.rmtree(work, ignore_errors=True)
    return 0


def sample(
    central: CentralModelAt,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="A .png for a sheet, or a folder for each image.")
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="How many images.")] = 64,
    sampler: Annotated[
        Literal["paper", "faithful", "fast"], typer.Option(help="DDIM 250, or faster solvers.")
    ] = "fast",
    seed: Annotated[int, typer.Option(min=0, help="Image i depends on the seed and i alone.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 32,
) -> None:
    """Draw images from a central model.

    Under accelerate launch the processes share the images out; each is the same as from one.
    """
    from c2lst.central import CentralModel
    from c2lst.central.samples import write_samples, write_sheet
    from c2lst.diffusion.processes import Processes
    from c2lst.storage import refuse_folder, refuse_unreplaceable

    (refuse_folder if output.suffix == ".png" else refuse_unreplaceable)(output)
    model = CentralModel.load(central)
    request = {"sampler": sampler, "seed": seed, "batch_size": batch_size}
    if output.suffix == ".png":
        write_sheet(model, output, n, **request)
    else:
        write_samples(model, output, n, Processes(), **request)
    tell(f"{n} images of {model.size} px → {output}")


def publish(
    central: CentralModelAt,
    to: Annotated[
        str | None,
        typer.Option(help="Folder, or OWNER/NAME on the hub; CENTRAL-published by default."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option(help="Licence as the hub names it, such as cc-by-nc-4.0.")
    ] = None,
    half: Annotated[
        bool, typer.Option("--half", help="Round the weights to 16 bit, for half the bytes.")
    ] = False,
    recipe: Annotated[
        Path | None, typer.Option(help="Text file with the commands that made it, for the card.")
    ] = None,
    public: Annotated[bool, typer.Option("--public", help="Let everyone see it.")] = False,
) -> None:
    """Make of a central model what others can use: weights, card, samples; upload it."""
    import tempfile

    from c2lst.central import CentralModel
    from c2lst.central.files import CENTRAL_FILES
    from c2lst.central.hub import is_hub_id, upload
    from c2lst.errors import InputError
    from c2lst.storage import refuse_foreign

    model = CentralModel.load(central)
    told: dict[str, Any] = {"licence": licence, "half": half, "recipe": _text(recipe)}
    if to is None or not is_hub_id(to):
        if public:
            raise InputError(
                "--public", "is of an upload, and nothing is uploaded",
                found="no --to" if to is None else f"--to {to}", expected="--to OWNER/NAME",
            )  # fmt: skip
        folder = Path(to or f"{Path(central).name}-published")
        refuse_foreign(folder, CENTRAL_FILES)
        model.publish(folder, **told)
        tell(f"central model → {folder}")
        return
    if not (licence or model.provenance.get("patches", {}).get("licence")):
        raise InputError(
            to,
            "the licence of the training patches is not known",
            remedy="give --licence, once you know that a model made of them may be shared",
        )
    with tempfile.TemporaryDirectory() as scratch:
        model.publish(Path(scratch) / "model", **told)
        address = upload(Path(scratch) / "model", to, private=not public)
    tell(f"central model → {address}")


def _text(path: Path | None) -> str | None:
    from c2lst.errors import InputError

    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "is no readable text file", expected="commands") from error
