from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from c2lst.fetch import registry, web
from miniatures.homes import SAMPLE, section_files
from miniatures.served import Home, git_tree, put_repository, served

RECORDED = ("C2",)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Iterator[Home]:
    """The registry's homes on this machine: C2 on record, C3 known to git alone."""
    monkeypatch.setattr(web, "WAITS_S", (0.0, 0.0))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with served() as there:
        entries = json.loads(registry.REGISTRY.read_text(encoding="utf-8"))
        _serve_sections(there, entries["her2st"])
        for name in ("hest", "spider"):
            entries[name]["hub"]["endpoint"] = there.address
        put_repository(there, "MahmoodLab/hest", SAMPLE)
        put_repository(
            there,
            "histai/SPIDER-skin",
            {f"spider-skin.tar.0{n}": b"part" * 999 for n in range(3)} | {"README.md": b"card"},
        )
        path = tmp_path / "registry.json"
        path.write_text(json.dumps(entries), encoding="utf-8")
        monkeypatch.setattr(registry, "REGISTRY", path)
        yield there


def _serve_sections(there: Home, entry: dict) -> None:
    repository: dict[str, bytes] = {}
    recorded = {}
    for part in ("C2", "C3"):
        files = section_files(part)
        repository |= files
        names = (f"{part}.jpg", f"{part}.tsv.gz", f"{part}_selection.tsv")
        for name, (path, content) in zip(names, files.items(), strict=True):
            if part in RECORDED:
                sha256 = hashlib.sha256(content).hexdigest()
                recorded[name] = {"path": path, "bytes": len(content), "sha256": sha256}
    there.files |= {f"/raw/{path}": content for path, content in repository.items()}
    there.files["/tree"] = git_tree(repository)
    entry["web"] |= {
        "files": f"{there.address}/raw/",
        "tree": f"{there.address}/tree?recursive=1",
        "recorded": recorded,
    }
    entry["parts"] = ["C2", "C3", "C4"]
