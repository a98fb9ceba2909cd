"""WebDataset shards in miniature."""

from __future__ import annotations

import json
from pathlib import Path

from miniatures.patches import patch_bytes
from miniatures.tars import tar_of


def write_shards(folder: Path, shards: int = 2, samples: int = 3) -> Path:
    """Write ``patches-000.tar``, …: key.jpg with key.json, or with key.cls; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        files: dict[str, bytes] = {}
        for number in range(samples):
            key = f"{shard}{number:04d}"
            files[f"{key}.jpg"] = patch_bytes(shard * samples + number, kind="JPEG")
            if number % 2:
                files[f"{key}.cls"] = b"3"
            else:
                fields = {"slide_id": f"slide-{shard}", "class": "stroma", "mpp": 0.5}
                files[f"{key}.json"] = json.dumps(fields).encode()
        tar_of(folder / f"patches-{shard:03d}.tar", files)
    return folder
