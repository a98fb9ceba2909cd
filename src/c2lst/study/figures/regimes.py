"""The regime map: which method errs least at which fraction and spatial order of the genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

from c2lst.report.figures import DPI, rendered, report_style
from c2lst.study.block_errors import ALL
from c2lst.study.contenders import Contender
from c2lst.study.figures.style import colour
from c2lst.study.regimes import Regime

if TYPE_CHECKING:
    from PIL.Image import Image

UNDECIDED = "#d9d9d9"
"""Where a single seed decides nothing."""

TILE = (1.55, 0.34)
"""Width and height of a tile in inches."""


def regime_map(regimes: Sequence[Regime]) -> Image:
    """Draw a tile for every fraction and third of the genes, striped by all that are tied there.

    Rows are thirds of the genes of each section, from the strongest Moran's I down; the first and
    widest stripe is the least mean error, and every stripe has the letter of its method. Where a
    single seed decides nothing, the tile is grey.
    """
    from matplotlib.figure import Figure

    parts = [regime for regime in regimes if regime.genes != ALL] or list(regimes)
    rows = _rows(parts)
    fractions = sorted({regime.fraction for regime in parts})
    letters = _letters(parts)
    height = TILE[1] * (len(rows) + 1) + 0.8
    with report_style():
        figure = Figure(
            (TILE[0] * len(fractions) + 5.6, max(height, 0.22 * len(letters) + 0.8)),
            dpi=max(60, min(DPI, int(16000 / height))),
            layout="constrained",
        )
        panel = figure.subplots()
        for regime in parts:
            place = rows.index((regime.section, regime.scheme, regime.genes))
            _tile(panel, regime, fractions.index(regime.fraction), place, letters)
        panel.set(xlim=(-0.5, len(fractions) - 0.5), ylim=(len(rows) - 0.5, -0.5))
        panel.set_xticks(range(len(fractions)), [f"{fraction:.0%}" for fraction in fractions])
        panel.set_yticks(range(len(rows)), [_row_name(row, parts) for row in rows], fontsize=7.5)
        panel.set_xlabel("Share of spots sequenced")
        for contender, letter in letters.items():
            panel.scatter(
                [], [], s=70, marker="s", color=colour(contender),
                label=f"{letter}  {contender.title}",
            )  # fmt: skip
        if any(regime.best is None for regime in parts):
            panel.scatter([], [], s=70, marker="s", color=UNDECIDED, label="?  undecided")
        panel.legend(fontsize=7.5, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
        return rendered(figure)


def _rows(regimes: Sequence[Regime]) -> list[tuple[str, str, str]]:
    """Sections by their order in space, strongest first, and in each its thirds of the genes."""
    moran: dict[tuple[str, str, str], list[float]] = {}
    for r in regimes:
        moran.setdefault((r.section, r.scheme, r.genes), []).append(r.moran)
    return sorted(moran, key=lambda row: -sum(moran[row]) / len(moran[row]))


def _row_name(row: tuple[str, str, str], regimes: Sequence[Regime]) -> str:
    section, scheme, genes = row
    of_row = [r.moran for r in regimes if (r.section, r.scheme, r.genes) == row]
    return f"{section}, {scheme}: {genes} third, I = {sum(of_row) / len(of_row):.2f}"


def _letters(regimes: Sequence[Regime]) -> dict[Contender, str]:
    shown = {who for regime in regimes for who in (regime.best, *regime.tied) if who is not None}
    return dict(zip(sorted(shown, key=lambda c: c.order), ascii_uppercase * 3, strict=False))


def _tile(panel: Any, regime: Regime, x: int, y: int, letters: Mapping[Contender, str]) -> None:
    from matplotlib.patches import Rectangle

    stripes = [(regime.best, 2.0), *((who, 1.0) for who in regime.tied)]
    unit = 0.92 / sum(width for _, width in stripes)
    left = x - 0.46
    for who, width in stripes:
        shade, letter = (UNDECIDED, "?") if who is None else (colour(who), letters[who])
        panel.add_patch(
            Rectangle((left, y - 0.42), unit * width, 0.84, facecolor=shade, edgecolor="white")
        )
        panel.text(
            left + unit * width / 2, y, letter, ha="center", va="center",
            fontsize=8 if width > 1 else 6.5, color=_readable(shade),
            fontweight="bold" if width > 1 else "normal",
        )  # fmt: skip
        left += unit * width


def _readable(shade: str) -> str:
    """Black or white, whichever can be read on a colour."""
    red, green, blue = (int(shade[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "#ffffff"
