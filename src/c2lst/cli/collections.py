"""Commands about collections of H&E patches."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def collect(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Folders of images or slides, SPIDER or WebDataset archives, or hf:OWNER/NAME.",
        ),
    ],
    output: opt.Output,
    size: Annotated[
        int | None, typer.Option(help="Side of the patches in px; as they are by default.")
    ] = None,
    patch_um: Annotated[
        float | None, typer.Option(help="Side of the patches in µm; as they are by default.")
    ] = None,
    mpp: Annotated[float | None, typer.Option(help="µm per px of images that do not say.")] = None,
    stride_um: Annotated[
        float | None, typer.Option(help="Step between patches of slides in µm; their side.")
    ] = None,
    context: Annotated[
        bool, typer.Option("--context", help="Take the patches around labelled ones, too.")
    ] = False,
    groups: Annotated[
        Path | None, typer.Option(help="CSV of name and group: what stays together in the split.")
    ] = None,
    validation: Annotated[float, typer.Option(help="Share of groups to validate on.")] = 0.1,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Collection or section folder whose patches count as copies."),
    ] = None,
    copies: Annotated[
        Literal["drop", "flag"], typer.Option(help="What becomes of copies of a patch.")
    ] = "drop",
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Leave out images that cannot be read.")
    ] = False,
    licence: Annotated[str | None, typer.Option(help="Terms of the patches.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another split.")] = 0,
) -> None:
    """Collect H&E patches for a central model, without copies and split by slide or group."""
    from c2lst.data.collections.collect import CollectSettings
    from c2lst.data.collections.collect import collect as make

    settings = CollectSettings(
        size=size,
        patch_um=patch_um,
        mpp=mpp,
        stride_um=stride_um,
        context=context,
        validation=validation,
        seed=seed,
        copies=copies,
        skip_unreadable=skip_unreadable,
        licence=licence,
    )
    manifest = make(sources, output, settings, groups=groups, against=against or ())
    _show(manifest)
    tell(f"collection: {output}")


_SHOWN = 5


def _show(manifest: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=manifest["name"], show_header=False)
    for row in _lines(manifest):
        table.add_row(*row)
    Console().print(table)


def _lines(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    splits, copies = manifest["splits"], manifest["copies"]
    size = sum(shard["bytes"] for split in splits.values() for shard in split["shards"])
    lines = [
        ("patches", f"{manifest['patches']:,}"),
        *((f"  {name}", f"{split['patches']:,}") for name, split in splits.items()),
        ("groups", f"{manifest['groups']:,}"),
        ("slides", f"{manifest['slides']:,}"),
        ("classes", f"{len(manifest['classes']):,}"),
        (
            f"copies {copies['action']}",
            f"{copies['exact']:,} exact, {copies['near']:,} near",
        ),
        *((f"  also in {name}", f"{count:,}") for name, count in copies["against"].items()),
        ("unreadable", f"{len(manifest['skipped']):,}"),
        *((f"  {Path(name).name}", reason) for name, reason in manifest["skipped"][:_SHOWN]),
        ("on disk", f"{size / 1e6:,.1f} MB"),
        ("terms", manifest["licence"] or "not stated"),
    ]
    if len(manifest["skipped"]) > _SHOWN:
        lines.insert(-2, ("  …", "all are listed in collection.json"))
    return lines
