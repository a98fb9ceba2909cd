"""Commands about one slide: simulate, read, choose spots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def simulate(
    output: opt.Output,
    name: Annotated[str, typer.Option(help="Name of the section.")] = "SIM",
    spots: Annotated[tuple[int, int], typer.Option(help="Columns and rows of the spot array.")] = (
        20,
        20,
    ),
    seed: Annotated[int, typer.Option(help="Another seed, another tissue.")] = 0,
    uninformative_image: Annotated[
        bool, typer.Option(help="Draw the image of another tissue: a control.")
    ] = False,
) -> None:
    """Make a section of simulated tissue whose truth is known."""
    from c2lst.data.simulate import simulate_tissue

    simulate_tissue(
        output, name=name, spots=spots, seed=seed, uninformative_image=uninformative_image
    )
    tell(f"section: {output}")


def ingest(
    source: Annotated[Path, typer.Argument(help="Folder or file, or FOLDER/SECTION.")],
    output: opt.Output,
    format: opt.Format = "auto",
    section: opt.SectionName = None,
    image: opt.Image = None,
    mpp: opt.Mpp = None,
    patch_um: Annotated[float, typer.Option(help="Side of the patches in µm.")] = 112.0,
    size: Annotated[int, typer.Option(help="Side of the patches in px.")] = 224,
    bin_um: Annotated[
        float | None, typer.Option(help="Side of pseudo-spots in µm (Visium HD, Xenium).")
    ] = None,
) -> None:
    """Read a slide of any format and write it as a section (HEST layout)."""
    from c2lst.cli.tables import show_section
    from c2lst.data.readers import read

    output = output.absolute()
    overlay = output.with_name(f"{output.name}.overlay.png")
    found = read(
        source,
        format=format,
        section=section,
        image=image,
        mpp=mpp,
        patch_um=patch_um,
        size=size,
        bin_um=bin_um,
        overlay=overlay,
    )
    found.save(output)
    overlay.unlink(missing_ok=True)  # of an attempt that failed
    show_section(found, output)


def split(
    section: opt.SectionFolder,
    output: opt.Output,
    fraction: opt.Fraction = None,
    scheme: opt.Scheme = "random",
    seed: Annotated[int, typer.Option(help="Another seed, another choice.")] = 0,
    val_fraction: Annotated[
        float, typer.Option(help="Share of the sampled spots kept for validation.")
    ] = 0.0,
) -> None:
    """Choose which spots count as sequenced."""
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.storage import refuse_folder

    opt.refuse_share_of_all(fraction, scheme)
    refuse_folder(output)
    drawn = SpotSplit.draw(
        Section.load(section),
        fraction=0.25 if fraction is None else fraction,
        scheme=scheme,
        seed=seed,
        val_fraction=val_fraction,
    )
    drawn.save(output)
    tell(f"{drawn.summary()} → {output}")
