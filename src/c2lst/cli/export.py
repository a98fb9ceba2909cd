"""Command of the way out: audit what was made, and pack what may leave."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def export(
    artefact: Annotated[Path, typer.Argument(help="Folder of the adapter or synthetic pairs.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder to write, or a .zip file.")
    ],
    section: opt.NotedSection = None,
    split_file: opt.NotedSplit = None,
    central: opt.NotedCentral = None,
    adapter: Annotated[
        Path | None, typer.Option(help="Of synthetic pairs: the adapter that drew them.")
    ] = None,
    override: Annotated[
        str | None,
        typer.Option(help="Who lets it leave although the audit did not pass, and why."),
    ] = None,
    seed: opt.Seed = None,
) -> None:
    """Audit an adapter or synthetic pairs for privacy, and pack what may leave."""
    from c2lst.privacy import export as export_bundle

    done = export_bundle(
        artefact,
        output,
        section=section,
        split=split_file,
        central=central,
        adapter=adapter,
        override=override,
        seed=seed or 0,
    )
    for verdict, sentence in done.audit.findings:
        tell(f"{verdict}: {sentence}")
    tell(f"{done.audit.subject} ({done.audit.verdict}) → {done.bundle}")
    tell(f"{done.gallery.name} shows patches of the patient: it stays here")
