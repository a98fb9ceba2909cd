"""Image data sets of the Hugging Face hub, streamed, never downloaded whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from c2lst.data.collections.sources.base import (
    Source,
    SourceOptions,
    SourcePatch,
    unreadable,
)
from c2lst.data.collections.sources.fields import FIELDS, known_fields, split_or_none
from c2lst.data.collections.sources.folder import image_bytes
from c2lst.errors import InputError

TITLE = "Hugging Face data set"
LOOKS_FOR = "hf:owner/name[:config][:split], an image data set of the hub"
PREFIX = "hf:"

_PART = re.compile(r"\w[\w.+-]*")


def recognise(where: str) -> str | None:
    """Say why ``where`` is a data set of the hub; none if it is not."""
    return f"it begins with {PREFIX}" if where.startswith(PREFIX) else None


def open_source(where: str, options: SourceOptions) -> Source:
    """Return the images of a data set.

    Raises
    ------
    InputError
        If it is no data set's name, or the package ``datasets`` is not installed.
    """
    if find_spec("datasets") is None:
        raise InputError(
            where, "needs the package datasets", remedy="install it: pip install 'c2lst[hub]'"
        )
    return HubImages(HubName.of(where), options)


@dataclass(frozen=True)
class HubName:
    """Name of a data set, with configuration and split where they are chosen."""

    path: str
    config: str | None = None
    split: str | None = None

    @classmethod
    def of(cls, where: str) -> Self:
        """Read ``hf:owner/name[:config][:split]``; a local clone's folder may stand for the name.

        Raises
        ------
        InputError
            If it is nothing of the kind.
        """
        path, *chosen = where.removeprefix(PREFIX).split(":")
        named = all(_PART.fullmatch(part) for part in path.split("/")) and path.count("/") == 1
        chosen_well = len(chosen) <= 2 and all(not c or _PART.fullmatch(c) for c in chosen)
        if not chosen_well or not (named or (path and Path(path).is_dir())):
            raise InputError(where, "is no data set's name", expected="hf:owner/name:config:split")
        return cls(path, *(part or None for part in chosen))

    def __str__(self) -> str:
        return f"{PREFIX}{self.path}:{self.config or ''}:{self.split or ''}".rstrip(":")


class HubImages:
    """Images of a data set, named ``split/number``, with the bytes that it stores.

    Class, slide, group and µm/px come from the columns of those names.

    Parameters
    ----------
    name
        Which data set, configuration and split; all splits by default.
    options
        ``mpp`` holds for images that do not say theirs.
    """

    count = None

    def __init__(self, name: HubName, options: SourceOptions) -> None:
        self.name = name
        self.origin = str(name)
        self.mpp = options.mpp

    @cached_property
    def licence(self) -> str | None:
        """Licence that the data set's card states."""
        from huggingface_hub import DatasetCard
        from huggingface_hub.errors import EntryNotFoundError

        local = Path(self.name.path)
        if local.is_dir() and not (local / "README.md").is_file():
            return None
        try:
            card = DatasetCard.load(local / "README.md" if local.is_dir() else self.name.path)
        except EntryNotFoundError:
            return None
        except Exception as error:  # whatever a network does
            raise self._unreachable(error) from error
        stated = card.data.to_dict().get("license")
        return ", ".join(stated) if isinstance(stated, list) else stated

    def __iter__(self) -> Iterator[SourcePatch]:
        """Give the images, split by split."""
        for split, rows in self._splits().items():
            column, labels = self._columns(rows.features)
            wanted = {column, *(key for keys in FIELDS.values() for key in keys)}
            rows = rows.select_columns([c for c in rows.features if c in wanted])
            for number, row in enumerate(self._rows(_undecoded(rows, column))):
                where = f"{self.origin}, {split} row {number}"
                for key, names in labels.items():
                    row[key] = _class_name(row.get(key), names)
                fields = {
                    "mpp": self.mpp,
                    "split": split_or_none(split),
                    **known_fields(row, where),
                }
                image = _stored_bytes(row[column], where)
                yield SourcePatch(name=f"{split}/{number:08d}", image=image, **fields)

    def _splits(self) -> Mapping[str, Any]:
        from datasets import load_dataset

        name = self.name
        try:
            found = load_dataset(name.path, name.config, split=name.split, streaming=True)
            splits = found if isinstance(found, Mapping) else {name.split or "train": found}
            return {split: rows._resolve_features() for split, rows in splits.items()}
        except Exception as error:  # whatever a network, or a data set's own files, do
            raise self._unreachable(error) from error

    def _rows(self, rows: Any) -> Iterator[dict[str, Any]]:
        try:
            yield from rows
        except Exception as error:  # the same, further on
            raise self._unreachable(error) from error

    def _columns(self, features: Mapping[str, Any]) -> tuple[str, dict[str, list[str]]]:
        """Name of the image column, and the class names of columns that store numbers."""
        from datasets import ClassLabel, Image

        images = [name for name, feature in features.items() if isinstance(feature, Image)]
        if not images:
            raise InputError(
                self.origin, "has no image column", found=", ".join(features),
                remedy="name another configuration: hf:owner/name:config",
            )  # fmt: skip
        labels = {name: f.names for name, f in features.items() if isinstance(f, ClassLabel)}
        return images[0], labels

    def _unreachable(self, error: Exception) -> InputError:
        if isinstance(error, InputError):
            return error
        reason = (str(error) or type(error).__name__).splitlines()[0]
        return InputError(
            self.origin,
            f"the data set cannot be read ({reason[:200]})",
            remedy="check its name and the network; where it is gated, ask for access on "
            f"https://huggingface.co/datasets/{self.name.path} and run hf auth login",
        )


def _undecoded(rows: Any, column: str) -> Any:
    from datasets import Image

    return rows.cast_column(column, Image(decode=False))


def _class_name(number: int | None, names: list[str]) -> str | None:
    """Name of a class; none where the number is -1, which stands for no class."""
    return names[number] if number is not None and 0 <= number < len(names) else None


def _stored_bytes(stored: Any, where: str) -> bytes | InputError:
    image = stored.get("bytes") if isinstance(stored, Mapping) else None
    if image is None and isinstance(stored, Mapping) and stored.get("path"):
        image = image_bytes(Path(stored["path"]))
    if not image:
        return unreadable(InputError(where, "has no image"))
    return image if isinstance(image, InputError) else bytes(image)
