"""A plan as files: for the bench (CSV), QuPath (GeoJSON), the eye (PNG) and c2lst (JSON)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst import __version__
from c2lst.data.overlay import ON_TISSUE, Overlay, draw_overlays
from c2lst.storage import whole_directory, whole_file, write_json

if TYPE_CHECKING:
    from c2lst.data.image import SlideImage
    from c2lst.planning.plan import SamplingPlan

FORMAT = 1
PLAN_CSV, PLAN_JSON, PLAN_PNG = "plan.csv", "plan.json", "plan.png"
PLAN_GEOJSON = "plan.geojson"
PLAN_FILES = (PLAN_JSON, PLAN_CSV, PLAN_PNG, PLAN_GEOJSON)
_PICTURE_PX = 900


def write_plan(
    directory: str | Path,
    plan: SamplingPlan,
    *,
    names: np.ndarray,
    centres_px: np.ndarray,
    mpp: float,
    diameter_um: float,
    image: SlideImage,
    about: Mapping[str, Any],
) -> None:
    """Write a plan to a folder.

    Parameters
    ----------
    directory
        Where to; an earlier plan there is replaced, anything else is refused.
    names, centres_px
        Of all spots of the slide, (n,) and (n, 2) as (x, y) in full-resolution px.
    mpp
        µm per full-resolution px.
    diameter_um
        Of a spot, for the pictures.
    image
        The slide.
    about
        Where the plan is from, as plain values.
    """
    order = plan.design.order
    with whole_directory(directory, PLAN_FILES) as folder:
        with whole_file(folder / PLAN_CSV) as partial, partial.open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["order", "spot", "x_px", "y_px", "x_um", "y_um", "unknown_after"])
            for number, row in enumerate(order.tolist()):
                x, y = centres_px[row]
                table.writerow(
                    [number + 1, names[row], f"{x:.1f}", f"{y:.1f}", f"{x * mpp:.1f}",
                     f"{y * mpp:.1f}", f"{plan.design.unknown[number]:.6f}"]
                )  # fmt: skip
        write_json(
            folder / PLAN_JSON,
            {
                "format": FORMAT,
                "kind": "sampling_plan",
                "c2lst": __version__,
                "spots": names[order].tolist(),
                "regions_um": plan.regions.tolist(),
                "unknown_before": plan.design.before,
                "unknown_after": plan.unknown,
                "unknown_after_random": [float(value) for value in np.sort(plan.random)],
                "from_a_first_round": plan.fitted,
                **about,
            },
        )
        write_json(folder / PLAN_GEOJSON, _geojson(plan, names, centres_px, mpp, diameter_um))
        _draw(folder / PLAN_PNG, plan, centres_px, mpp, diameter_um, image)


def _geojson(
    plan: SamplingPlan, names: np.ndarray, centres_px: np.ndarray, mpp: float, diameter_um: float
) -> dict[str, Any]:
    """Return annotations in full-resolution px, as QuPath reads them."""
    if len(plan.regions):
        boxes = plan.regions / mpp
        shapes = [
            (f"region {n + 1}", [[a, b], [c, b], [c, d], [a, d], [a, b]])
            for n, (a, b, c, d) in enumerate(boxes.tolist())
        ]
    else:
        turn = np.linspace(0, 2 * np.pi, 25)
        circle = np.column_stack([np.cos(turn), np.sin(turn)]) * diameter_um / mpp / 2
        shapes = [
            (f"{n + 1}: {names[row]}", (centres_px[row] + circle).round(1).tolist())
            for n, row in enumerate(plan.design.order.tolist())
        ]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"objectType": "annotation", "name": name},
            }
            for name, ring in shapes
        ],
    }


def _draw(
    path: Path,
    plan: SamplingPlan,
    centres_px: np.ndarray,
    mpp: float,
    diameter_um: float,
    image: SlideImage,
) -> None:
    thumbnail = image.thumbnail(_PICTURE_PX)
    scale = max(thumbnail.shape[:2]) / max(image.width, image.height)
    order = plan.design.order
    caption = f"{len(order)} spots to sequence"
    if len(plan.regions):
        caption += f" in {len(plan.regions)} regions"
        thumbnail = _with_boxes(thumbnail, plan.regions / mpp * scale)
    panel = Overlay(
        caption,
        centres_px[order] * scale,
        np.ones(len(order), dtype=bool),
        diameter_um / mpp * scale / 2,
    )
    draw_overlays(path, thumbnail, [panel])


def _with_boxes(thumbnail: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Draw (left, top, right, bottom) boxes, in px of the thumbnail, on a copy of it."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(thumbnail)
    for box in boxes.tolist():
        ImageDraw.Draw(picture).rectangle(box, outline=ON_TISSUE, width=3)
    return np.asarray(picture)
