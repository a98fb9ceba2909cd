"""Pictures of the report, each returned as a data URI. Matplotlib's Agg only, no global state."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.report.choices import spot_pitch

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

    from c2lst.report.artefacts import Thumbnail

MAP_INCHES = 2.7
SLIDE_INCHES = 5.2
PLACE_INCHES = 1.2
DPI = 200
EXPRESSION_MAP = "viridis"
WIDTH_MAP = "cividis"
ERROR_MAP = "RdBu_r"
UNMEASURED = "#c9ccd1"

ROLE_STYLE: dict[str, dict[str, Any]] = {
    "test": {"facecolor": "none", "edgecolor": "#111111"},
    "train": {"facecolor": "#0072b2", "edgecolor": "#ffffff"},
    "val": {"facecolor": "#f0e442", "edgecolor": "#111111"},
    "buffer": {"facecolor": "#9aa0a6", "edgecolor": "#ffffff"},
}
"""Marks of the split: told apart by filling and lightness as well as by hue (Okabe-Ito)."""


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def png(image: Image) -> str:
    """Encode as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return _uri(buffer.getvalue(), "png")


def jpeg(image: Image, quality: int = 86) -> str:
    """Encode as JPEG without chroma subsampling: stain colours stay where they are."""
    # Not optimised: Pillow's buffer for that is too small for noisy tissue without subsampling.
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, format="JPEG", quality=quality, subsampling=0)
    return _uri(buffer.getvalue(), "jpeg")


def rendered(figure: Figure) -> Image:
    """Draw a figure into an image."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def few_colours(image: Image) -> Image:
    """Reduce to 256 colours: a third of the bytes, no visible change in charts and maps."""
    from PIL import Image

    return image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


@contextmanager
def report_style() -> Iterator[None]:
    """Draw what is drawn inside in the style of the report."""
    import matplotlib

    settings: dict[Any, Any] = {
        "font.family": ["DejaVu Sans"],
        "font.size": 10,
        "axes.edgecolor": "#5b6470",
        "axes.labelcolor": "#1c2430",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": "#3d4653",
        "ytick.color": "#3d4653",
        "axes.unicode_minus": True,
    }
    with matplotlib.rc_context(settings):
        yield


def patch(pixels: np.ndarray, *, at_least: int = 192) -> str:
    """Show one patch (S, S, 3) uint8, enlarged by a whole number so that each pixel stays sharp."""
    from PIL import Image

    image = Image.fromarray(pixels)
    if image.width < at_least // 2:
        factor = -(-at_least // image.width)
        enlarged = image.resize((image.width * factor,) * 2, Image.Resampling.NEAREST)
        return png(enlarged)
    return jpeg(image, quality=90)


def mosaic(patches: np.ndarray, columns: int, *, tile: int = 64, gap: int = 2) -> str:
    """Lay patches (k, S, S, 3) out in rows of ``columns`` on white."""
    from PIL import Image

    rows = -(-len(patches) // columns)
    sheet = Image.new(
        "RGB", (columns * (tile + gap) - gap, rows * (tile + gap) - gap), (255, 255, 255)
    )
    for index, pixels in enumerate(patches):
        row, column = divmod(index, columns)
        image = Image.fromarray(pixels)
        if image.width != tile:
            image = image.resize((tile, tile), Image.Resampling.LANCZOS)
        sheet.paste(image, (column * (tile + gap), row * (tile + gap)))
    return jpeg(sheet, quality=88)


@dataclass(frozen=True)
class Frame:
    """The part of the slide that maps show, and how big a spot is drawn there.

    Parameters
    ----------
    centres
        Spot centres (n, 2), full-resolution px.
    pitch, diameter
        Distance between spots and drawn diameter, full-resolution px.
    thumbnail
        Picture behind the spots, or None.
    """

    centres: np.ndarray
    pitch: float
    diameter: float
    thumbnail: Thumbnail | None

    @classmethod
    def around(cls, centres: np.ndarray, thumbnail: Thumbnail | None, fill: float) -> Frame:
        """Frame all spots, drawn at ``fill`` of their pitch."""
        pitch = spot_pitch(centres)
        return cls(centres, pitch, fill * pitch, thumbnail)

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Left, right, top, bottom in full-resolution px."""
        margin = 1.1 * self.pitch
        (left, top), (right, bottom) = self.centres.min(axis=0), self.centres.max(axis=0)
        return left - margin, right + margin, top - margin, bottom + margin

    def figure(self, inches: float) -> tuple[Figure, Any]:
        """Return a figure without margins in the shape of the frame, y downwards."""
        from matplotlib.figure import Figure

        left, right, top, bottom = self.bounds
        width, height = right - left, bottom - top
        scale = inches / max(width, height)
        figure = Figure(figsize=(width * scale, height * scale), dpi=DPI)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        return figure, axes

    def rim(self, inches: float, widest: float) -> float:
        """Line width in points of a spot's rim: thinner where spots are drawn small."""
        left, right, top, bottom = self.bounds
        points = self.diameter * 72 * inches / max(right - left, bottom - top)
        return min(widest, 0.12 * points)

    @cached_property
    def tissue(self) -> tuple[np.ndarray, tuple[float, float, float, float]] | None:
        """The framed part of the thumbnail and its left, right, bottom, top; None without one."""
        if self.thumbnail is None:
            return None
        image, scale = self.thumbnail.image, self.thumbnail.scale
        left, right, top, bottom = (scale * edge for edge in self.bounds)
        x0, x1 = max(math.floor(left), 0), min(math.ceil(right), image.shape[1])
        y0, y1 = max(math.floor(top), 0), min(math.ceil(bottom), image.shape[0])
        if x1 <= x0 or y1 <= y0:
            return None
        return image[y0:y1, x0:x1], (x0 / scale, x1 / scale, y1 / scale, y0 / scale)

    @cached_property
    def faint_tissue(self) -> np.ndarray | None:
        """The same, grey and pale, for maps in which the spots carry the message."""
        if self.tissue is None:
            return None
        grey = 255 - 0.30 * (255 - self.tissue[0].mean(axis=2))
        return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)

    def background(self, axes: Any, *, faint: bool) -> None:
        """Draw the slide behind the spots."""
        if self.tissue is None:
            return
        image, extent = self.tissue
        limits = axes.get_xlim(), axes.get_ylim()
        axes.imshow(
            self.faint_tissue if faint else image,
            extent=extent,
            interpolation="antialiased",
            aspect="auto",
        )
        axes.set_xlim(limits[0])
        axes.set_ylim(limits[1])

    def spots(self, axes: Any, mask: np.ndarray, **style: Any) -> Any:
        """Add the spots of ``mask`` as discs of true size."""
        from matplotlib.collections import EllipseCollection

        centres = self.centres[mask]
        size = np.full(len(centres), self.diameter)
        discs = EllipseCollection(
            size,
            size,
            np.zeros(len(centres)),
            units="xy",
            offsets=centres,
            offset_transform=axes.transData,
            **style,
        )
        axes.add_collection(discs)
        return discs


def split_overlay(frame: Frame, role: np.ndarray, mpp: float | None) -> str:
    """Draw the split over the slide, with a scale bar where µm per px is known."""
    with report_style():
        figure, axes = frame.figure(SLIDE_INCHES)
        frame.background(axes, faint=False)
        for name, style in ROLE_STYLE.items():
            mask = role == name
            if mask.any():
                # A white rim keeps every mark visible on dark nuclei.
                rim = frame.rim(SLIDE_INCHES, widest=1.1)
                frame.spots(axes, mask, facecolor="none", edgecolor="#ffffff", linewidth=2.4 * rim)
                frame.spots(axes, mask, linewidth=rim, **style)
        if mpp is not None:
            _scale_bar(axes, frame, mpp)
        return jpeg(rendered(figure))


def slide_crop(frame: Frame) -> str:
    """Show the same part of the slide without marks."""
    figure, axes = frame.figure(SLIDE_INCHES)
    frame.background(axes, faint=False)
    return jpeg(rendered(figure))


def _scale_bar(axes: Any, frame: Frame, mpp: float) -> None:
    import matplotlib.patheffects as effects

    left, right, top, bottom = frame.bounds
    target = 0.22 * (right - left) * mpp
    length_um = max(u for u in (50, 100, 200, 500, 1000, 2000, 5000) if u <= max(target, 50))
    x, y = left + 0.03 * (right - left), bottom - 0.03 * (bottom - top)
    halo = [effects.withStroke(linewidth=4, foreground="white")]
    axes.plot([x, x + length_um / mpp], [y, y], color="#111111", linewidth=2.4, path_effects=halo)
    label = f"{length_um / 1000:g} mm" if length_um >= 1000 else f"{length_um} µm"
    axes.text(x, y - 0.012 * (bottom - top), label, fontsize=10, color="#111111", path_effects=halo)


def spot_map(
    frame: Frame,
    values: np.ndarray,
    outlined: np.ndarray,
    colours: str,
    limits: tuple[float, float],
) -> str:
    """Draw one value a spot: values (n,), NaN in grey, spots of ``outlined`` (n,) ringed."""
    with report_style():
        figure, axes = frame.figure(MAP_INCHES)
        frame.background(axes, faint=True)
        rim = frame.rim(MAP_INCHES, widest=0.9)
        known = np.isfinite(values)
        frame.spots(axes, ~known, facecolor="none", edgecolor=UNMEASURED, linewidth=rim)
        discs = frame.spots(axes, known, cmap=colours, linewidth=0)
        discs.set_array(values[known])
        discs.set_clim(*limits)
        frame.spots(axes, outlined, facecolor="none", edgecolor="#111111", linewidth=rim)
        return png(few_colours(rendered(figure)))


def place_map(frame: Frame, shown: np.ndarray) -> str:
    """Draw where some spots lie: those of ``shown`` (k,) dark, the others faint."""
    some = np.zeros(len(frame.centres), dtype=bool)
    some[shown] = True
    figure, axes = frame.figure(PLACE_INCHES)
    frame.background(axes, faint=True)
    frame.spots(axes, ~some, facecolor=UNMEASURED, linewidth=0)
    frame.spots(axes, some, facecolor="#0072b2", edgecolor="#111111", linewidth=0.3)
    return png(few_colours(rendered(figure)))


def sheet(pixels: np.ndarray) -> str:
    """Show a sheet of patches (height, width, 3) uint8."""
    from PIL import Image

    return jpeg(Image.fromarray(pixels), quality=88)


def colour_bar(colours: str) -> str:
    """Return the ramp of a colour map, left to right, as a thin picture."""
    import matplotlib
    from PIL import Image

    ramp = matplotlib.colormaps[colours](np.linspace(0, 1, 256))[None, :, :3]
    return png(Image.fromarray(np.rint(255 * ramp).astype(np.uint8)))


def predicted_against_observed(observed: np.ndarray, predicted: np.ndarray) -> str:
    """Density of (observed, predicted) pairs with the line of equality; both 1-d, log1p CP10k."""
    with report_style():
        figure, axes = _square_axes()
        high = float(np.quantile(np.concatenate([observed, predicted]), 0.999)) or 1.0
        axes.hexbin(
            observed,
            predicted,
            gridsize=46,
            extent=(0, high, 0, high),
            bins="log",
            mincnt=1,
            cmap=_density_colours(),
            linewidths=0,
        )
        axes.plot([0, high], [0, high], color="#111111", linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=(0, high), ylim=(0, high), xlabel="Observed", ylabel="Predicted")
        return png(few_colours(rendered(figure)))


def _density_colours() -> Any:
    """Blues from a pale tone that still shows on white."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["Blues"](np.linspace(0.25, 1, 128)))


def gene_scatter(x: np.ndarray, y: np.ndarray, labels: tuple[str, str]) -> str:
    """Return one dot a gene: its score without (x) and with (y) synthetic pairs; both (G,)."""
    with report_style():
        figure, axes = _square_axes()
        axes.scatter(x, y, s=16, color="#0072b2", alpha=0.65, linewidths=0)
        both = np.concatenate([x, y])
        pad = 0.05 * (float(np.ptp(both)) or 1.0)
        ends = (float(both.min()) - pad, float(both.max()) + pad)
        axes.plot(ends, ends, color="#111111", linewidth=1, linestyle=(0, (4, 3)))
        axes.set(xlim=ends, ylim=ends, xlabel=labels[0], ylabel=labels[1])
        return png(few_colours(rendered(figure)))


def _square_axes() -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.0, 3.9), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.set_aspect("equal")
    return figure, axes
