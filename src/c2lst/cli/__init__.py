"""The command line: parse, call the API, print."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

INTERRUPTED = 130


def main() -> None:
    """Run ``c2lst``; what a user can mend ends with one line and exit code 2."""
    from c2lst.cli.app import app
    from c2lst.errors import InputError
    from c2lst.progress import console

    try:
        app()
    except InputError as error:
        terminal = console(every_process=True)
        terminal.print("[bold red]error:[/] ", end="")
        terminal.print(str(error), markup=False, highlight=False, soft_wrap=True)
        _leave(2, after=error)
    except SystemExit as leaving:
        # typer turns Ctrl-C into this code.
        if leaving.code == INTERRUPTED:
            console().print("interrupted: the same command continues where it stopped")
        raise


def _leave(code: int, *, after: BaseException) -> NoReturn:
    """Exit; without clean-up where a write failed, for HDF5 crashes when it closes such a file."""
    if isinstance(after.__cause__, OSError):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
