"""The page of the explorer, laid out with Gradio and served on loopback alone."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.diffusion.sampling import SAMPLERS
from c2lst.errors import InputError
from c2lst.explorer import words
from c2lst.explorer.session import Explorer
from c2lst.explorer.view import Choice

if TYPE_CHECKING:
    import gradio

LOOPBACK = "127.0.0.1"
SLIDERS = 6
REACH = 3.0
_PATCH_PX = 160
_GAP = 8


def serve(explorer: Explorer, *, port: int | None = None, browser: bool = True) -> None:
    """Serve the page until it is interrupted; nothing outside this machine can reach it.

    Parameters
    ----------
    explorer
        What it shows.
    port
        A free one from 7860 on by default.
    browser
        Open it in one.

    Raises
    ------
    InputError
        If Gradio is not installed, or the port is taken.
    """
    gr, page = require(), build(explorer)
    # Fonts by name of the system: the usual theme fetches its own from outside.
    sans, mono = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    try:
        page.launch(
            server_name=LOOPBACK,
            server_port=port,
            share=False,
            inbrowser=browser,
            quiet=True,
            ssr_mode=False,
            enable_monitoring=False,
            footer_links=[],
            max_file_size=1,  # byte: there is nothing to upload
            theme=gr.themes.Default(font=sans, font_mono=mono),
        )
    except OSError as error:
        raise InputError(
            "explorer",
            "cannot open the port",
            found=port or "none free from 7860 on",
            remedy="give another with --port",
        ) from error


def require() -> Any:
    """Import Gradio, with its reports to its makers switched off.

    Raises
    ------
    InputError
        If it is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import gradio
    except ImportError as error:
        raise InputError(
            "explorer",
            "needs Gradio, which is not installed",
            remedy="pip install 'c2lst[explorer]'",
        ) from error
    return gradio


@dataclass(frozen=True)
class _Widgets:
    slide: Any
    spot: Any
    chosen: Any
    named: Any
    sliders: list[Any]
    again: Any
    guidance: Any
    sampler: Any
    noises: Any
    seed: Any
    strips: list[Any]
    said: Any
    table: Any


def build(explorer: Explorer) -> gradio.Blocks:
    """Lay the page out; nothing is served yet.

    Raises
    ------
    InputError
        If Gradio is not installed.
    """
    gr = require()
    with gr.Blocks(title=f"c2lst: {explorer.name}", analytics_enabled=False) as page:
        gr.Markdown(words.heading(explorer))
        with gr.Row():
            with gr.Column(scale=5, min_width=360):
                left = _controls(gr, explorer)
            with gr.Column(scale=7, min_width=420):
                right = _pictures(gr)
        _wire(gr, page, explorer, _Widgets(**left, **right))
    return page


def _controls(gr: Any, explorer: Explorer) -> dict[str, Any]:
    handles = explorer.handles.names
    return {
        "slide": gr.Image(label="Sequenced spots: click one", interactive=False, buttons=[]),
        "spot": gr.Dropdown(explorer.spots, value=explorer.most_average(), label="Spot"),
        "chosen": gr.Dropdown(
            handles,
            value=handles[:1],
            multiselect=True,
            max_choices=SLIDERS,
            label="Genes and programmes to move",
            info="The first colours the map: yellow where it is high.",
        ),
        "named": gr.State(handles[:1]),  # what the sliders move at present, in their order
        "sliders": [
            gr.Slider(-REACH, REACH, value=0, step=0.25, visible=False) for _ in range(SLIDERS)
        ],
        "again": gr.Button("Back to the spot's own genes"),
    }


def _pictures(gr: Any) -> dict[str, Any]:
    with gr.Row():
        guidance = gr.Slider(0, 6, value=3, step=0.25, label="Guidance scale")
        sampler = gr.Dropdown(list(SAMPLERS), value="fast", label="Sampler")
        noises = gr.Slider(1, 4, value=3, step=1, label="Noises")
        seed = gr.Number(0, precision=0, minimum=0, label="Seed")
    strips = []
    with gr.Row():
        for caption in words.STRIPS:
            with gr.Column(min_width=_PATCH_PX):
                gr.Markdown(caption)
                strips.append(
                    gr.Image(
                        label=caption,
                        show_label=False,
                        interactive=False,
                        buttons=[],
                        format="png",
                    )
                )
    said = gr.Markdown()
    table = gr.Dataframe(headers=words.COLUMNS, interactive=False, label="Mean over the noises")
    return {
        "guidance": guidance,
        "sampler": sampler,
        "noises": noises,
        "seed": seed,
        "strips": strips,
        "said": said,
        "table": table,
    }


def _wire(gr: Any, page: Any, explorer: Explorer, widgets: _Widgets) -> None:
    """Say what follows what."""
    w = widgets
    private = {"api_visibility": "private"}

    def point(event: gr.SelectData) -> str:
        return explorer.spots[explorer.map.nearest(*event.index)]

    # Gradio reads the annotation itself, where Python keeps it as text.
    point.__annotations__["event"] = gr.SelectData
    w.slide.select(point, None, w.spot, **private)
    start = [page.load, w.spot.change, w.chosen.change]
    gr.on(start, partial(_map, explorer), [w.spot, w.chosen], w.slide, **private)
    labels = partial(_labels, explorer, gr.update)
    shown = [w.spot, w.chosen, w.named, *w.sliders]
    gr.on(start, labels, shown, [*w.sliders, w.named], **private)
    w.again.click(lambda: [0] * SLIDERS, None, w.sliders, **private)
    gr.on(
        [*start, w.guidance.release, w.sampler.change, w.noises.release, w.seed.submit]
        + [slider.change for slider in w.sliders],
        partial(_draw, explorer, gr.Error),
        [w.spot, w.chosen, w.guidance, w.sampler, w.noises, w.seed, *w.sliders],
        [*w.strips, w.said, w.table],
        trigger_mode="always_last",
        **private,
    )


def _map(explorer: Explorer, spot: str, chosen: list[str]) -> np.ndarray:
    return explorer.map.draw(explorer.index(spot), explorer.score(chosen[0]) if chosen else None)


def _labels(
    explorer: Explorer,
    update: Any,
    spot: str,
    chosen: list[str],
    before: list[str],
    *steps: float,
) -> list[Any]:
    """Name the sliders, and return what they move; each handle keeps the steps that it had."""
    # Where one is left out, those after it come to other sliders: their steps go with them.
    kept = dict(zip(before, steps, strict=False))
    shown = [
        update(
            visible=True,
            value=kept.get(name, 0),
            label=words.slider(name, *explorer.reach(name, spot)),
        )
        for name in chosen
    ]
    return [*shown, *[update(visible=False, value=0)] * (SLIDERS - len(shown)), chosen]


def _draw(
    explorer: Explorer,
    refusal: type[Exception],
    spot: str,
    chosen: list[str],
    guidance: float,
    sampler: str,
    noises: int,
    seed: float | None,
    *steps: float,
) -> tuple[Any, ...]:
    moves = dict(zip(chosen, steps, strict=False))
    try:
        view = explorer.view(Choice(spot, moves, int(seed or 0), int(noises), guidance, sampler))
    except InputError as error:
        raise refusal(str(error)) from error
    pictures = (view.real[None], view.own, view.moved, view.difference)
    return *map(strip, pictures), words.summary(view), words.rows(view)


def strip(images: np.ndarray) -> np.ndarray:
    """Lay patches (n, S, S, 3) one below the other on white, about 160 px wide, unsmoothed."""
    times = max(1, round(_PATCH_PX / images.shape[1]))
    large = images.repeat(times, axis=1).repeat(times, axis=2)
    padded = np.pad(large, ((0, 0), (0, _GAP), (0, 0), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=0)[:-_GAP]
