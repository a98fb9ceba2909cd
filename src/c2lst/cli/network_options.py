"""Options on networks that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from c2lst.errors import InputError

Network = Annotated[
    str | None,
    typer.Option(
        help="Network to train: resnet-tiny, resnet-10, resnet-18, resnet-50, densenet-121, frozen "
        "(a head on a frozen encoder), or none; that of the preset by default."
    ),
]
Encoder = Annotated[
    str | None,
    typer.Option(
        help="Encoder of a frozen network: central, or a name of the registry such as imagenet or "
        "uni2, or a folder."
    ),
]
Baselines = Annotated[
    list[str] | None,
    typer.Option(help="Networks to train as baselines, real only: resnet-50, densenet-121; none."),
]


def network_settings(network: str | None, encoder: str | None) -> dict[str, str]:
    """Return what was given, as settings of the predictor."""
    given = {"network": network, "encoder": encoder}
    return {name: value for name, value in given.items() if value is not None}


def chosen(names: list[str] | None, option: str) -> tuple[str, ...] | None:
    """Read a list of which ``none`` stands alone; None where nothing was given."""
    if not names:
        return None
    if "none" in names and len(names) > 1:
        raise InputError(option, "none stands alone", found=" ".join(names))
    return () if names == ["none"] else tuple(names)
