"""The page of the command line, written from the commands themselves when the site is built."""

from __future__ import annotations

from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

PLACE = "<!-- commands -->"


def commands() -> str:
    """Return every command with its arguments and options, Markdown with headings of level 2."""
    from c2lst.cli.app import app

    group = get_command(app)
    context = typer.Context(group, info_name="c2lst")
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        text = get_docs_for_click(obj=command, ctx=inner, indent=1, name=f"c2lst {name}")
        # Usage repeats what the lists below it say.
        parts.append(
            text.replace("**Arguments**:", "Arguments:").replace("**Options**:", "Options:")
        )
    return "\n".join(parts)


def _fill(app: Any, docname: str, source: list[str]) -> None:
    if PLACE in source[0]:
        source[0] = source[0].replace(PLACE, commands())


def setup(app: Any) -> dict[str, bool]:
    """Fill the place that a page leaves for the commands."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True}
