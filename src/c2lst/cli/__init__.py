"""The command line: parse, call the API, print."""

from __future__ import annotations

import sys


def main() -> None:
    """Run ``c2lst``; what a user can mend ends with one line and exit code 2."""
    from c2lst.cli.app import app
    from c2lst.errors import InputError
    from c2lst.progress import console

    try:
        app()
    except InputError as error:
        terminal = console()
        terminal.print("[bold red]error:[/] ", end="")
        terminal.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        console().print("interrupted: the same command continues where it stopped")
        sys.exit(130)
