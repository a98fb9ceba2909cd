"""Files of a data set on the Hugging Face hub; its library resumes what broke off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from c2lst.errors import InputError
from c2lst.fetch.published import PublishedFile
from c2lst.fetch.registry import DataSet
from c2lst.progress import progress_bar

_MEGABYTE = 1_000_000


@dataclass(frozen=True)
class HubFiles:
    """Some files of one commit of a repository.

    Parameters
    ----------
    endpoint, repository, commit
        Where they are.
    page
        Page of the repository, where access is asked for.
    files
        Their paths, sizes and, where the hub keeps them, SHA-256.
    """

    endpoint: str
    repository: str
    commit: str
    page: str
    files: tuple[PublishedFile, ...]

    @classmethod
    def of(cls, data_set: DataSet, part: str) -> Self:
        """Ask the hub which files a part has.

        Raises
        ------
        InputError
            If the hub cannot be reached, or has no such files.
        """
        from huggingface_hub import HfApi
        from huggingface_hub.utils import filter_repo_objects

        assert data_set.hub is not None
        endpoint = data_set.hub["endpoint"]
        repository = data_set.hub["repository"].format(part=part)
        page = data_set.home.format(part=part)
        patterns = [pattern.format(part=part) for pattern in data_set.hub["files"]]
        try:
            info = HfApi(endpoint=endpoint).repo_info(
                repository, repo_type="dataset", files_metadata=True
            )
        except Exception as error:  # the library's errors change from version to version
            raise _said(error, page) from error
        siblings = filter_repo_objects(
            info.siblings or [], allow_patterns=patterns, key=lambda file: file.rfilename
        )
        files = tuple(_planned(file) for file in siblings)
        if not files:
            raise InputError(page, f"has no files of {part!r}", expected=", ".join(patterns))
        return cls(endpoint, repository, str(info.sha), page, files)

    def download(self, output: Path) -> None:
        """Fetch what is not there yet, going on where an earlier attempt stopped, and check it.

        Raises
        ------
        InputError
            If access is not granted, the hub cannot be reached, a file is not as published, or
            another file has the name.
        """
        from huggingface_hub import snapshot_download

        # The library would replace another file of the name without a word.
        present = [file for file in self.files if (output / file.name).exists()]
        missing = [file for file in self.files if file not in present]
        _check_all(present, lambda file: file.check_present(output / file.name))
        if not missing:
            return
        try:
            snapshot_download(
                self.repository,
                repo_type="dataset",
                revision=self.commit,
                allow_patterns=[file.name for file in missing],
                local_dir=output,
                endpoint=self.endpoint,
            )
        except Exception as error:  # as above
            raise _said(error, self.page) from error
        _check_all(missing, lambda file: _check(output / file.name, file))


def _planned(file: Any) -> PublishedFile:
    lfs = file.lfs
    sha256 = lfs.get("sha256") if isinstance(lfs, Mapping) else getattr(lfs, "sha256", None)
    if sha256:
        return PublishedFile(file.rfilename, file.size or 0, f"sha256:{sha256}")
    return PublishedFile(file.rfilename, file.size or 0, file.blob_id and f"git:{file.blob_id}")


def _check_all(files: Sequence[PublishedFile], check: Callable[[PublishedFile], None]) -> None:
    """Check one file after another, which takes minutes for a slide."""
    if not files:
        return
    with progress_bar("check, MB", sum(file.size for file in files) // _MEGABYTE) as bar:
        for file in files:
            check(file)
            bar.advance(file.size // _MEGABYTE)


def _check(path: Path, file: PublishedFile) -> None:
    """Compare a file with what the hub says of it; one that differs is removed."""
    try:
        file.check(path)
    except (ValueError, OSError) as error:
        path.unlink(missing_ok=True)
        raise InputError(
            path, f"is not the published file ({error})",
            remedy="it was removed; run the same command again",
        ) from error  # fmt: skip


def _said(error: Exception, page: str) -> InputError:
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError | RepositoryNotFoundError):
        return InputError(
            page, "access is not granted to you yet",
            remedy="visit that page, accept its terms, then run `hf auth login` or set HF_TOKEN",
        )  # fmt: skip
    if isinstance(error, HfHubHTTPError):
        return InputError(
            page, f"the hub answers {error.response.status_code}", remedy="try again later"
        )
    reason = (str(error) or type(error).__name__).splitlines()[0][:160]
    return InputError(
        page,
        f"cannot be reached or breaks off ({reason})",
        remedy="check the network and the disk; the same command goes on where it stopped",
    )
