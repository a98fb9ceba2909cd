"""Commands of super-resolution: superres build, train, predict, evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell
from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.superres.lowres import LowRes
    from c2lst.superres.maps import SuperresMaps
    from c2lst.superres.model import SuperresModel

app = typer.Typer(
    name="superres",
    help="Super-resolve maps of spots under guidance of the image (Diff-ST).",
    no_args_is_help=True,
)

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of the model.")]
Samples = Annotated[int, typer.Option(help="Maps drawn for mean and deviation.")]
Solver = Annotated[Literal["ancestral", "dpm++"], typer.Option(help="How a map is drawn.")]
Steps = Annotated[int, typer.Option(help="Network evaluations a map.")]
Consistent = Annotated[
    bool, typer.Option("--consistent/--free", help="Make bins sum to their spot's counts.")
]


@app.command()
def build(
    context: typer.Context,
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Folders, or the word simulated.")
    ],
    output: opt.Output,
    format: Annotated[
        Literal["auto", "simulated", "xenium", "visium-hd", "legacy", "published"],
        typer.Option(help="What the sources are; recognised by default."),
    ] = "auto",
    patient: Annotated[
        list[str] | None, typer.Option(help="Patient of each source, in order.")
    ] = None,
    genes: opt.GeneList = None,
    n_genes: Annotated[int, typer.Option(help="Genes with most counts, without --genes.")] = 25,
    bin_um: Annotated[float, typer.Option(help="Side of a bin.")] = 10.0,
    spot_um: Annotated[float, typer.Option(help="Side of a spot's square.")] = 100.0,
    sampling: Annotated[
        Literal["squares", "discs"], typer.Option(help="What a spot counts.")
    ] = "squares",
    factor: Annotated[int, typer.Option(help="Legacy: spots along a pooled square.")] = 2,
    image: opt.Image = None,
    image_um: Annotated[float | None, typer.Option(help="µm per px of the image kept.")] = None,
    mpp: opt.Mpp = None,
    patients: Annotated[int, typer.Option(help="Simulated: number of patients.")] = 8,
    depth: Annotated[float, typer.Option(help="Simulated: mean counts in 10 µm.")] = 0.5,
    side_um: Annotated[float, typer.Option(help="Simulated: side of a section.")] = 2400.0,
    seed: Annotated[int, typer.Option(min=0, help="Simulated: another seed, other patients.")] = 0,
    uninformative_image: Annotated[
        bool, typer.Option(help="Simulated: show another tissue, a control.")
    ] = False,
) -> None:
    """Build maps of small bins with their image."""
    from dataclasses import replace

    from c2lst.superres import build as builders
    from c2lst.superres.build.grid import check_widths
    from c2lst.superres.maps import check_output, joined

    if patient is not None and len(patient) != len(sources):
        raise InputError("--patient", "number", found=len(patient), expected=len(sources))
    if n_genes < 1:
        raise InputError("--n-genes", "number", found=n_genes, expected="1 or more")
    kinds = [builders.recognise(source) if format == "auto" else format for source in sources]
    _refuse_unread(kinds, context)
    check_widths(image_um=image_um)
    check_output(output)
    if image is not None and len(sources) > 1:
        raise InputError("--image", "is of one source", found=f"{len(sources)} sources")
    panel, parts = opt.read_genes(genes), []
    for number, (source, kind) in enumerate(zip(sources, kinds, strict=True)):
        whose = None if patient is None else patient[number]
        common: dict[str, Any] = {
            "patient": whose,
            "genes": panel,
            "number": n_genes,
            "image_um": image_um,
            "image": image,
        }
        if kind == "simulated":
            from c2lst.superres.build.simulated import Simulation
            from c2lst.superres.build.simulated import build as simulate

            simulation = Simulation(
                patients, n_genes, side_um, bin_um, spot_um, image_um or bin_um / 2, depth, seed,
                uninformative_image,
            )  # fmt: skip
            part = replace(simulate(simulation), sampling=sampling)
        elif kind == "legacy":
            from c2lst.superres.build import legacy

            part = legacy.build(Path(source), factor=factor, mpp=mpp, **common)
        elif kind == "published":
            from c2lst.superres.build import published

            part = published.build(Path(source))
        else:
            from c2lst.superres.build import visium_hd, xenium

            reader = xenium if kind == "xenium" else visium_hd
            part = reader.build(
                Path(source), bin_um=bin_um, spot_um=spot_um, sampling=sampling, **common
            )
        # Those that follow have the genes of the first.
        panel = panel or part.genes
        parts.append(part)
    maps = joined(parts)
    maps.save(output)
    tell(
        f"{len(maps.samples)} areas of {len(maps.patients)} patients, {len(maps.genes)} genes, "
        f"bins of {maps.bin_um:g} µm, spots of {maps.lr_um:g} µm → {output}"
    )


@app.command()
def train(
    maps: Annotated[Path, typer.Argument(metavar="MAPS", help="Folder of the maps.")],
    output: opt.Output,
    preset: Annotated[
        Literal["tiny", "paper"], typer.Option(help="Size and length of everything.")
    ] = "tiny",
    ablate: Annotated[
        list[str] | None, typer.Option(help="Component to leave out; may be repeated.")
    ] = None,
    hold_out: Annotated[
        list[str] | None, typer.Option(help="Patient to keep for evaluation; may be repeated.")
    ] = None,
    scale: Annotated[int | None, typer.Option(help="Bins along a spot, 5 or 10.")] = None,
    normalisation: Annotated[
        Literal["log1p", "paper"] | None, typer.Option(help="How counts are scaled.")
    ] = None,
    residual: Annotated[
        bool | None,
        typer.Option(help="Learn what bins differ by from interpolated spots, or whole maps."),
    ] = None,
    graph: Annotated[
        Literal["correlation", "intensity_ratio"] | None, typer.Option(help="Co-expression graph.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Channels of every level.")] = None,
    lr_size: Annotated[int | None, typer.Option(help="Spots along a window.")] = None,
    image_px: Annotated[int | None, typer.Option(help="Image px along a bin.")] = None,
    crop_px: Annotated[int | None, typer.Option(help="Side of a cell crop in px.")] = None,
    steps: Annotated[int | None, typer.Option(help="Updates.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Windows an update.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of AdamW.")] = None,
    precision: Annotated[
        Literal["fp32", "bf16"] | None, typer.Option(help="Of the forward pass.")
    ] = None,
    regression: Annotated[bool, typer.Option(help="Train the plain U-Net baseline, too.")] = True,
    seed: opt.Seed = None,
) -> None:
    """Train a model; the same command goes on after an interruption."""
    from c2lst.diffusion.processes import Processes
    from c2lst.superres.maps import SuperresMaps
    from c2lst.superres.model import MODEL_JSON, SuperresModel
    from c2lst.superres.presets import load_settings

    _keep_what_is_there(output, MODEL_JSON)
    settings = load_settings(
        preset, ablate=ablate, scale=scale, normalisation=normalisation, graph=graph, width=width,
        lr_size=lr_size, image_px=image_px, crop_px=crop_px, steps=steps, batch_size=batch_size,
        learning_rate=learning_rate, precision=precision, seed=seed, with_regression=regression,
        residual=residual,
    )  # fmt: skip
    model = SuperresModel.train(
        SuperresMaps.load(maps), settings, held_out=hold_out or (), directory=opt.scratch(output)
    )
    if not Processes().is_main:
        return
    model.save(output)
    opt.clear_scratch(output)
    tell(f"model of {len(model.genes)} genes, bins of {model.bin_um:g} µm → {output}")


@app.command()
def predict(
    model: Model,
    section: Annotated[
        Path, typer.Argument(metavar="SECTION", help="Folder of a section, or of maps.")
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=".h5ad for AnnData, .zarr for SpatialData."),
    ],
    name: Annotated[
        str | None,
        typer.Option("--section", help="Which section or area, where there are several."),
    ] = None,
    scale: Annotated[int | None, typer.Option(help="Bins along a spot, 5 or 10.")] = None,
    samples: Samples = 8,
    solver: Solver = "ancestral",
    steps: Steps = 20,
    consistent: Consistent = True,
    batch_size: Annotated[int, typer.Option(help="Tiles at a time.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other maps.")] = 0,
) -> None:
    """Predict the bins of a section, with their standard deviation."""
    from c2lst.superres.model import SuperresModel
    from c2lst.superres.store import check_output, write_prediction

    check_output(output)
    trained = SuperresModel.load(model)
    low = _low(trained, section, name)
    found = trained.predict(
        low, samples=samples, scale=scale, solver=solver, steps=steps, seed=seed,
        consistent=consistent, batch_size=batch_size,
    )  # fmt: skip
    write_prediction(output, found, low)
    bins, genes = int(found.tissue.sum()), len(found.genes)
    tell(f"{bins:,} bins of {found.bin_um:g} µm, {genes} genes → {output}")


@app.command()
def evaluate(
    model: Model,
    maps: Annotated[Path, typer.Argument(metavar="MAPS", help="Folder of the maps.")],
    output: opt.Output,
    samples: Samples = 8,
    solver: Solver = "ancestral",
    steps: Steps = 20,
    consistent: Consistent = True,
    seen: Annotated[
        bool, typer.Option("--seen", help="Patients of the training, too: no evidence.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, other maps.")] = 0,
) -> None:
    """Compare a model with the baselines on patients that it has not seen."""
    from c2lst.cli.superres_scores import show_scores
    from c2lst.superres.evaluate import evaluate as score
    from c2lst.superres.maps import SuperresMaps
    from c2lst.superres.model import SuperresModel

    table = score(
        SuperresModel.load(model), SuperresMaps.load(maps), output, samples=samples,
        solver=solver, steps=steps, seed=seed, seen=seen, consistent=consistent,
    )  # fmt: skip
    show_scores(table)
    tell(f"scores and figures → {output}")


_MEASURED = {"patient", "genes", "n_genes", "image", "image_um"}
_BINNED = {"bin_um", "spot_um", "sampling"}
_DRAWN = {"n_genes", "image_um", "patients", "depth", "side_um", "seed", "uninformative_image"}
_READ: dict[str, set[str]] = {
    "simulated": _DRAWN | _BINNED,
    "published": set(),
    "xenium": _MEASURED | _BINNED,
    "visium-hd": _MEASURED | _BINNED,
    "legacy": _MEASURED | {"factor", "mpp"},
}


def _refuse_unread(kinds: Sequence[str], context: typer.Context) -> None:
    """Refuse an option that no source is read by.

    Patients are given source by source, and one that is not taken note of is not held out: all
    sources have to be read by them.
    """
    given = [
        name
        for name in context.params
        if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE"
    ]
    for name in sorted(set().union(*_READ.values()) & set(given)):
        read = [name in _READ[kind] for kind in kinds]
        if not (all(read) if name == "patient" else any(read)):
            raise InputError(
                f"--{name.replace('_', '-')}", "is not read with such sources",
                found=", ".join(sorted(set(kinds))), remedy="leave it out",
            )  # fmt: skip


def _keep_what_is_there(output: Path, made: str) -> None:
    """Refuse a folder that holds a finished model, or anything else: it would be replaced."""
    if (output / made).is_file():
        raise InputError(output, "is complete already", remedy="choose another --output")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(
            output, "holds what is no model of superres", remedy="choose another --output"
        )


def _low(model: SuperresModel, source: Path, name: str | None) -> LowRes:
    """Read the spots of a section, or of an area of maps."""
    from c2lst.data.section import Section
    from c2lst.superres.lowres import LowRes
    from c2lst.superres.maps import SuperresMaps, is_maps

    if is_maps(source):
        maps = SuperresMaps.load(source).in_order(model.genes).at_scale(model.settings.scale)
        return _area(maps, source, name)
    return LowRes.of_section(
        Section.load(source, name), model.genes, scale=model.settings.scale, lr_um=model.lr_um,
        image_px=model.settings.image_px, sampling=model.sampling,
    )  # fmt: skip


def _area(maps: SuperresMaps, source: Path, name: str | None) -> LowRes:
    from c2lst.superres.lowres import LowRes

    names = [sample.name for sample in maps.samples]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        raise InputError(
            source, "which area?" if name is None else f"there is no area {name!r}",
            expected=" or ".join(names), remedy="choose one with --section",
        )  # fmt: skip
    return LowRes.of_sample(maps, maps.samples[names.index(name)])
