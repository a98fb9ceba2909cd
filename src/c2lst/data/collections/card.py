"""The card of a stored collection: read by people, and by the hub as its configuration."""

from __future__ import annotations

import json
from typing import Any

from c2lst import __version__
from c2lst.data.collections.shards import features


def card(manifest: dict[str, Any]) -> str:
    """Return the text of ``README.md``: where ``datasets`` finds what, then what it is."""
    return f"{_front_matter(manifest)}\n{_body(manifest)}"


def _front_matter(manifest: dict[str, Any]) -> str:
    lines = ["---", "license: other"]
    if manifest["licence"]:
        lines.append(f"license_name: {json.dumps(manifest['licence'], ensure_ascii=False)}")
    lines += ["tags: [histology, H&E, c2lst]", "dataset_info:", "  features:"]
    for name, feature in features().items():
        dtype = "image" if feature["_type"] == "Image" else feature["dtype"]
        lines += [f"  - name: {name}", f"    dtype: {dtype}"]
    lines += ["configs:", "- config_name: default", "  data_files:"]
    for split in manifest["splits"]:
        lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    return "\n".join([*lines, "---"])


def _body(manifest: dict[str, Any]) -> str:
    splits = ", ".join(f"{v['patches']:,} {name}" for name, v in manifest["splits"].items())
    scale = manifest["mpp"]
    told = "not known" if scale is None else f"{scale[0]:.3g} to {scale[1]:.3g} µm/px"
    sources = "\n".join(
        f"- {s['source']}: {s['patches']:,} patches, {s['licence'] or 'terms not stated'}"
        for s in manifest["sources"]
    )
    return f"""# {manifest["name"]}

{manifest["patches"]:,} H&E patches ({splits}) of {manifest["groups"]:,} groups and
{manifest["slides"]:,} slides, collected by c2lst {__version__}.

- Terms: {manifest["licence"] or "not stated"}
- Scale: {told}
- Copies found among them: {manifest["copies"]["exact"] + manifest["copies"]["near"]:,} \
({manifest["copies"]["action"]})
- Content: SHA-256 {manifest["content_hash"]}

{sources}

Open it with `datasets.load_dataset`, or train on it with `c2lst pretrain`. No group is on both
sides of the split. `sha256` is of a patch's pixels, `phash` of its coarse structure, empty for a
blank patch; `copy_of` names the patch that it is a copy of.
"""
