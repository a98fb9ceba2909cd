"""What the explorer says beside its pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c2lst.explorer.session import Explorer
    from c2lst.explorer.view import View

COLUMNS = ["", "real patch", "own genes", "moved genes", "change"]
STRIPS = ("Real patch", "Own genes", "Moved genes", "Difference")
_TITLES = {
    "nuclei_per_mm2": ("nuclei per mm²", "{:,.0f}"),
    "nuclear_share": ("nuclear area", "{:.0%}"),
    "haematoxylin": ("haematoxylin (OD)", "{:.2f}"),
    "eosin": ("eosin (OD)", "{:.2f}"),
}
_SHOWN = 4


def heading(explorer: Explorer) -> str:
    """Return the page's heading, Markdown."""
    genes = len(explorer.handles.genes)
    return (
        f"# Section {explorer.name}\n"
        f"Pick one of the {len(explorer.spots)} sequenced spots, move some of its {genes} genes, "
        "and see the tissue change. Each row has one noise, so that the genes alone make the "
        "difference. These patches are synthetic, and any gene moves a few pixels: whether one "
        "moves more than others do is told by `c2lst sweep`. Not for diagnosis."
    )


def slider(name: str, low: float, high: float) -> str:
    """Return the label of a slider: what it moves, and how far sequenced spots reach."""
    reach = f"{low:+.1f} to {high:+.1f}".replace("-", "−")
    return f"{name}, in SD (sequenced spots: {reach})"


def summary(view: View) -> str:
    """Say how much changed, and what not to believe; Markdown."""
    told = [
        f"Pixels changed by **{view.pixels:.1f}** of 255 grey levels on average; the difference "
        "is grey where nothing did."
    ]
    if view.outside:
        told.append(
            f"**Beyond every sequenced spot**: {_listed(view.outside)}. "
            "What is drawn there is extrapolated."
        )
    if view.below_zero:
        told.append(f"**Below zero counts**: {_listed(view.below_zero)}. No tissue is like that.")
    return " ".join(told)


def rows(view: View) -> list[list[str]]:
    """Return the table of measures, one row each."""
    table = []
    for name, values in view.measures.items():
        title, form = _TITLES.get(name, (name, "{:.3g}"))
        change = values[2] - values[1]
        sign = "+" if change >= 0 else "−"
        table.append([title, *map(form.format, values), sign + form.format(abs(change))])
    return table


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
