"""Command of the explorer: a local page on which genes are moved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def explore(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run, or an adapter.")],
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="A free one from 7860 on by default.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
    section: opt.NotedSection = None,
    split_file: opt.NotedSplit = None,
    central: opt.NotedCentral = None,
) -> None:
    """Move genes of a spot and see the tissue change, on a page of this machine alone."""
    from c2lst.explorer import Explorer, page

    page.require()  # before the adapter is loaded
    explorer = Explorer.open(folder, section=section, split=split_file, central=central)
    tell(f"{explorer.name}: {len(explorer.spots)} spots; stop with Ctrl-C")
    page.serve(explorer, port=port, browser=browser)
