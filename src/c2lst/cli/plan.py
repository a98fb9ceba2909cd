"""Command of planning: which spots of a slide are worth sequencing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def plan(
    slide: Annotated[
        Path, typer.Argument(help="H&E image, slide of any format, or section folder.")
    ],
    output: opt.Output,
    budget: Annotated[int, typer.Option(min=1, help="Spots that can be paid for.")],
    given: Annotated[
        Path | None, typer.Option(help="Split of a first round: its spots are sequenced.")
    ] = None,
    shape: Annotated[
        Literal["spots", "roi"], typer.Option(help="Single spots, or square regions.")
    ] = "spots",
    roi_um: Annotated[float, typer.Option(min=1, help="Side of a region in µm.")] = 1000.0,
    pitch: Annotated[
        str, typer.Option(help="Distance of the spots to be, for a slide that has none yet.")
    ] = "100um",
    encoder: Annotated[
        Literal["auto", "imagenet", "random"], typer.Option(help="What looks at the patches.")
    ] = "auto",
    section: opt.SectionName = None,
    image: opt.Image = None,
    mpp: opt.Mpp = None,
    seed: Annotated[int, typer.Option(help="Of the random choices compared with.")] = 0,
) -> None:
    """Choose the spots or regions of a slide that would tell most about the rest of it.

    From the H&E alone, or after a first round of sequencing.
    """
    from c2lst.cli.tables import show_plan
    from c2lst.evaluation.encoders import get_encoder
    from c2lst.planning.plan import check_budget, plan_spots
    from c2lst.planning.slide import open_slide
    from c2lst.planning.writing import PLAN_FILES, write_plan
    from c2lst.storage import refuse_foreign

    refuse_foreign(output, PLAN_FILES)
    spots = open_slide(slide, section=section, image=image, mpp=mpp, pitch=pitch)
    first = spots.first_round(given)
    check_budget(len(spots.names), len(first.rows), budget, seed)
    chosen = plan_spots(
        spots.centres_px * spots.mpp,
        spots.features(get_encoder(encoder)),
        budget,
        given=first.rows,
        expression=first.expression,
        shape=shape,
        region_um=roi_um,
        seed=seed,
    )
    about = {"slide": spots.name, "given": len(first.rows), "budget": budget, "shape": shape}
    with spots.open_image() as picture:
        write_plan(
            output,
            chosen,
            names=spots.names,
            centres_px=spots.centres_px,
            mpp=spots.mpp,
            diameter_um=spots.diameter_um,
            image=picture,
            about=about,
        )
    show_plan(chosen, len(first.rows))
    tell(f"plan: {output}")
