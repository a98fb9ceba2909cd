"""What the homes of public data hold, in miniature."""

from __future__ import annotations


def section_files(part: str) -> dict[str, bytes]:
    """Miniatures of a section's files, by their path in the repository."""
    image = f"data/ST-imgs/{part[0]}/{part}/5714_HE_{part}.jpg"
    return {
        image: f"image of {part} ".encode() * 40,
        f"data/ST-cnts/{part}.tsv.gz": f"counts of {part} ".encode() * 30,
        f"data/ST-spotfiles/{part}_selection.tsv": f"spots of {part} ".encode() * 20,
    }


SAMPLE = {
    "st/TENX1.h5ad": b"counts " * 50,
    "patches/TENX1.h5": b"patches " * 5000,
    "wsis/TENX1.tif": b"slide " * 50,
    "metadata/TENX1.json": b"{}",
    "tissue_seg/TENX1_contours.geojson": b"outline " * 9,
    "st/TENX12.h5ad": b"another sample",
}
