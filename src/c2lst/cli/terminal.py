"""What a command says when it is done."""

from __future__ import annotations

from c2lst.progress import console


def tell(message: str) -> None:
    """Print a line that is never wrapped and never read as markup."""
    console().print(message, markup=False, highlight=False, soft_wrap=True)
