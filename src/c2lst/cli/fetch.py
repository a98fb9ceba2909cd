"""The command that gets public data from its home."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst.cli.terminal import tell

if TYPE_CHECKING:
    from c2lst.fetch import Plan


def fetch(
    name: Annotated[
        str | None, typer.Argument(help="her2st, her2st/C2, mob, hest/TENX95, spider/skin, …")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder; that of the data set's name.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the terms that are shown.")
    ] = False,
    list_all: Annotated[bool, typer.Option("--list", help="Show what can be fetched.")] = False,
) -> None:
    """Get public data from its home: terms and size first, checksums after."""
    if name is None or list_all:
        _show_all()
        return
    from c2lst.fetch import plan_fetch

    plan = plan_fetch(name)
    _show(plan)
    if not accept_licence and _is_asked():
        accept_licence = typer.confirm("accept these terms and download?", err=True)
    folder = plan.download(output or Path(plan.data_set.name), accept_licence=accept_licence)
    tell(f"{name}: {len(plan.files)} files → {folder}")


def _is_asked() -> bool:
    """Whether there is a person at the terminal."""
    return sys.stdin.isatty()


def _show_all() -> None:
    from rich.console import Console
    from rich.table import Table

    from c2lst.fetch import load_registry

    table = Table(show_lines=True)
    for column in ("name", "what", "size", "licence", "home"):
        table.add_column(column, overflow="fold")
    for data_set in load_registry().values():
        parts = data_set.parts or ("ID",)
        names = f"{data_set.name}/{parts[0]}" + (f" … {parts[-1]}" if len(parts) > 1 else "")
        names = names if data_set.hub else f"{data_set.name}, {names}"
        table.add_row(names, data_set.what, data_set.about, data_set.licence, data_set.home)
    Console().print(table)


def _show(plan: Plan) -> None:
    data_set = plan.data_set
    tell(f"{plan.name}: {data_set.what}")
    tell(f"  home     {plan.home}")
    tell(f"  licence  {data_set.licence}")
    tell(f"  cite     {data_set.cite}")
    tell(f"  size     {_readable(plan.size)} in {len(plan.files)} files")


def _readable(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"
