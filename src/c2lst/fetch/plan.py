"""What a fetch would bring, known before anything is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from c2lst.errors import InputError
from c2lst.fetch.published import PublishedFile
from c2lst.fetch.registry import DataSet, find_data_set
from c2lst.progress import logger
from c2lst.storage import read_json, write_json

RECEIPT = "fetched.json"
"""File in the folder that says where the others are from."""


@dataclass(frozen=True)
class Plan:
    """Files of a data set with their sizes, checksums and terms.

    Parameters
    ----------
    name
        What was asked for.
    data_set
        Where it comes from.
    home
        The page with its terms.
    files
        What will be written.
    bring
        Writes them into a folder; files that are there already are not fetched again.
    """

    name: str
    data_set: DataSet
    home: str
    files: tuple[PublishedFile, ...]
    bring: Callable[[Path], None]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    def download(self, output: str | Path, *, accept_licence: bool) -> Path:
        """Fetch the files into a folder, which may hold others, and check them.

        Parameters
        ----------
        output
            The folder.
        accept_licence
            Whether the user accepts the terms of the data set.

        Raises
        ------
        InputError
            If the terms are not accepted, the home cannot be reached, or a file is not what was
            published.
        """
        if not accept_licence:
            raise InputError(
                self.name,
                f"its terms are not accepted ({self.data_set.licence})",
                remedy=f"read {self.home} and give --accept-licence",
            )
        output = Path(output)
        self.bring(output)
        self._write_receipt(output / RECEIPT)
        unchecked = [file.name for file in self.files if file.checksum is None]
        if unchecked:
            logger.info("checked by size alone: %s", ", ".join(unchecked))
        return output

    def _write_receipt(self, path: Path) -> None:
        known = read_json(path) if path.is_file() else {}
        for file in self.files:
            known[file.name] = {
                "home": self.home,
                "licence": self.data_set.licence,
                "cite": self.data_set.cite,
                "bytes": file.size,
                "checksum": file.checksum,
            }
        write_json(path, known)


def plan_fetch(name: str) -> Plan:
    """Find out what ``name`` would bring.

    Parameters
    ----------
    name
        A data set, or one part of it: ``her2st``, ``her2st/C2``, ``hest/TENX95``,
        ``spider/skin``.

    Raises
    ------
    InputError
        If there is no such data set, or its home has to be asked and cannot be reached.
    """
    data_set, parts = find_data_set(name)
    if data_set.web is not None:
        from c2lst.fetch.web import download, resolve

        files = resolve(data_set, parts)
        return Plan(name, data_set, data_set.home, files, partial(download, files))
    from c2lst.fetch.hub import HubFiles

    repository = HubFiles.of(data_set, parts[0])
    return Plan(name, data_set, repository.page, repository.files, repository.download)
