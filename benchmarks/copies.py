"""Does a central model repeat its training patches? As ``c2lst export`` audits a local one.

Samples are held against the patches that the model was trained on and against as many of other
groups that it never saw: a model that repeats nothing draws images that are as near to the ones as
to the others. In pixels, turned and mirrored, and in ImageNet features.

    python benchmarks/copies.py COLLECTION [--central builtin] [-n 400] [--gallery copies.png]

The gallery shows the most suspicious samples, each beside its nearest training and held-out patch.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from c2lst.central import CentralModel
from c2lst.central.builtin import BUILTIN
from c2lst.data.collections import open_collection
from c2lst.evaluation.encoders import get_encoder
from c2lst.privacy.copying import Copying, compare, pixels
from c2lst.privacy.gallery import copy_gallery


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--central", default=BUILTIN)
    parser.add_argument("-n", type=int, default=400, help="samples")
    parser.add_argument("--gallery", type=Path)
    arguments = parser.parse_args()
    model = CentralModel.load(arguments.central)
    training, held_out = (
        patches(arguments.collection, part, model) for part in ("train", "validation")
    )
    drawn = model.sample(arguments.n)
    each = np.arange(len(drawn))
    by_pixels, nearest = compare(
        pixels(drawn, turns=False), pixels(training, turns=True), pixels(held_out, turns=True),
        each, space="pixels, turned and mirrored",
    )  # fmt: skip
    encoder = get_encoder("imagenet")
    features = [encoder.encode(images) for images in (drawn, training, held_out)]
    by_features, _ = compare(
        features[0], features[1][:, None], features[2][:, None], each, space=encoder.label
    )
    print(f"central model {model.hash[:12]}, {len(drawn)} samples\n")
    heads = "by | nearer to training | ratio | authentic, % (held out) | near copies | verdict"
    print(f"| {heads} |\n|---|---|---|---|---|---|")
    for found in (by_pixels, by_features):
        print(row(found))
    if arguments.gallery:
        Image.fromarray(copy_gallery(drawn, training, held_out, nearest)).save(arguments.gallery)


def patches(collection: Path, part: str, model: CentralModel) -> np.ndarray:
    """Return all patches of a part in the model's colours, ``(n, S, S, 3)``."""
    found = open_collection(collection, split=part, size=model.size, patch_um=model.patch_um)
    recoloured = found.recoloured(model.stain)
    return recoloured.fetch(np.arange(len(recoloured)))


def row(found: Copying) -> str:
    """Write one line of the table."""
    cells = (
        found.space,
        str(found.nearer),
        f"{found.ratio:.2f}",
        f"{found.authentic:.0f} ({found.authentic_real:.0f})",
        str(found.near_copies),
        found.verdict,
    )
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
