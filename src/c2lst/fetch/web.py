"""Files at public addresses, each checked against its checksum before it takes its name.

Files without a recorded SHA-256 are checked against the id that git gives them: the address names
a commit, and the commit fixes the ids of all its files.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from c2lst.errors import InputError
from c2lst.fetch.published import PublishedFile
from c2lst.fetch.registry import DataSet
from c2lst.progress import logger
from c2lst.storage import whole_file

WAITS_S = (1.0, 4.0)
"""Seconds before each further attempt."""

_TIMEOUT_S = 30
_CHUNK = 1 << 16
_OFFLINE = "check the network; the same command goes on with what is missing"


def resolve(data_set: DataSet, parts: Iterable[str]) -> tuple[PublishedFile, ...]:
    """Return the files of the parts; the repository is asked about those not on record.

    Raises
    ------
    InputError
        If it cannot be reached, or lacks one of them.
    """
    assert data_set.web is not None
    web, tree = data_set.web, None
    files = []
    for part in parts:
        for name, path in web["layout"].items():
            name, path = name.format(part=part), path.format(part=part)
            if recorded := web["recorded"].get(name):
                checksum = f"sha256:{recorded['sha256']}"
                address = web["files"] + recorded["path"]
                files.append(PublishedFile(name, recorded["bytes"], checksum, address))
                continue
            tree = _tree(web["tree"]) if tree is None else tree
            matching = [known for known in tree if fnmatchcase(known, path)]
            if len(matching) != 1:
                raise InputError(
                    data_set.home, f"has not one file {path}",
                    found=", ".join(matching) or "none", remedy="fetch another part",
                )  # fmt: skip
            size, identity = tree[matching[0]]
            files.append(PublishedFile(name, size, f"git:{identity}", web["files"] + matching[0]))
    return tuple(files)


def _tree(address: str) -> dict[str, tuple[int, str]]:
    """Size and git id of every file of a commit."""
    import requests

    logger.info("asking %s for sizes and checksums", address.partition("?")[0])
    try:
        response = requests.get(address, timeout=_TIMEOUT_S)
        response.raise_for_status()
        entries = json.loads(response.content)["tree"]
        return {e["path"]: (int(e["size"]), e["sha"]) for e in entries if e["type"] == "blob"}
    except requests.RequestException as error:
        raise _unreachable(address, error) from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            address, f"answers with no list of files ({error!r})", remedy="try again later"
        ) from error


def download(files: Iterable[PublishedFile], output: Path) -> None:
    """Fetch what is not there yet.

    Raises
    ------
    InputError
        If an address cannot be reached or gives another file, or another file has the name.
    """
    for file in files:
        target = output / file.name
        if target.exists():
            file.check_present(target)
            logger.info("%s: already there", target)
        else:
            _download(file, target)


def _download(file: PublishedFile, target: Path) -> None:
    import requests
    from pooch import HTTPDownloader

    fetch = HTTPDownloader(progressbar=sys.stderr.isatty(), chunk_size=_CHUNK, timeout=_TIMEOUT_S)
    for wait in (*WAITS_S, None):
        try:
            logger.info("fetching %s", file.name)
            with whole_file(target) as partial:
                fetch(file.address, str(partial), None)
                file.check(partial)
            return
        except requests.RequestException as error:
            if wait is None or not _may_pass(error):
                raise _unreachable(file.address, error) from error
            reason = str(error)
        except ValueError as error:
            if wait is None:
                raise InputError(
                    file.address, f"gives another file than was published: {error}",
                    remedy="nothing was kept; try again later",
                ) from error  # fmt: skip
            reason = str(error)
        logger.warning("%s: %s; trying again", file.name, reason)
        time.sleep(wait)


def _may_pass(error: Any) -> bool:
    """Whether another attempt may succeed: a transfer broke off, or the server is overloaded."""
    import requests
    from urllib3.exceptions import ReadTimeoutError

    if error.response is not None:
        return error.response.status_code >= 500
    # A transfer that stalls has the class of a network that is not there, and tells by its reason.
    if any(isinstance(reason, ReadTimeoutError) for reason in error.args):
        return True
    return isinstance(error, requests.exceptions.ChunkedEncodingError | requests.Timeout)


def _unreachable(address: str, error: Any) -> InputError:
    if error.response is not None:
        said = f"{error.response.status_code} {error.response.reason}"
        return InputError(address, f"the server answers {said}", remedy="try again later")
    return InputError(
        address, f"cannot be reached or breaks off ({type(error).__name__})", remedy=_OFFLINE
    )
