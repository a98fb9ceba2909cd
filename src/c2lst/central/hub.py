"""Where a model is: a folder, the built-in one, or on the Hugging Face hub by its id; uploads."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from c2lst.central.builtin import builtin_folder, is_builtin
from c2lst.errors import InputError
from c2lst.progress import logger

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
KEPT = ("*.json", "*.jsonl", "*.safetensors", "*.md", "*.png")
"""What is downloaded: never a pickle, whatever else is in a repository."""


def is_hub_id(where: str | Path) -> bool:
    """Whether ``where`` names a repository of the hub: ``OWNER/NAME``, and no such folder here."""
    text = str(where)
    return HUB_ID.fullmatch(text) is not None and not Path(text).parent.is_dir()


def is_name(where: str | Path) -> bool:
    """Whether ``where`` is no path: a hub id, or ``builtin``. It is noted as it is."""
    return is_builtin(where) or is_hub_id(where)


def model_folder(where: str | Path, what: str, revision: str | None = None) -> Path:
    """Return a model's folder; what is no folder here is looked up by name.

    Parameters
    ----------
    where
        A folder, ``builtin`` for the model that comes with c2lst, or an id on the hub, from where
        it is downloaded.
    what
        What it should be, for messages.
    revision
        Branch, tag or commit on the hub.

    Raises
    ------
    InputError
        If there is no such folder, this copy of c2lst has no model, or the hub does not give it.
    """
    folder = Path(where)
    if folder.is_dir():
        return folder
    if is_builtin(where):
        return builtin_folder()
    if folder.exists():
        raise InputError(folder, "is a file", expected=f"the folder of {what}")
    if not is_hub_id(where):
        raise InputError(folder, "no such folder", expected=what)
    from huggingface_hub import snapshot_download

    logger.info("%s: no such folder here, so it is looked for on the hub", where)
    with _plain_errors(str(where)):
        return Path(snapshot_download(str(where), revision=revision, allow_patterns=list(KEPT)))


def upload(folder: Path, repository: str, *, private: bool) -> str:
    """Upload a folder to a repository of the hub, which is made if need be.

    Returns
    -------
    str
        Address of the commit.

    Raises
    ------
    InputError
        If the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    with _plain_errors(repository):
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message="Model made by c2lst"
        )
    return str(commit.commit_url)


@contextlib.contextmanager
def _plain_errors(repository: str) -> Iterator[None]:
    """Say in one line what the hub's client says in many."""
    from huggingface_hub import errors

    where = f"hub repository {repository!r}"
    try:
        yield
    except errors.GatedRepoError as error:
        raise InputError(
            where, "is gated", remedy="ask for access on its page, then `hf auth login`"
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as error:
        raise InputError(
            where,
            "is not there, or not for you",
            remedy="check the name; for a private one, `hf auth login`",
        ) from error
    except errors.LocalTokenNotFoundError as error:
        raise InputError(where, "needs you to be known", remedy="run `hf auth login`") from error
    except errors.HFValidationError as error:
        raise InputError(where, "is no valid name", expected="OWNER/NAME") from error
    except errors.HfHubHTTPError as error:
        raise InputError(
            where,
            f"the hub refused (HTTP {error.response.status_code})",
            remedy="run `hf auth login` with a token that may do this",
        ) from error
    # The client raises its HTTP library's own errors, of which this is the base.
    except (errors.HTTPError, OSError) as error:
        raise InputError(
            where,
            f"cannot be reached ({type(error).__name__})",
            remedy="go online, or give a folder that is on this machine",
        ) from error
