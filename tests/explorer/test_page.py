import builtins
import json
import threading
import urllib.request

import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst.cli.explore import explore
from c2lst.errors import InputError
from c2lst.explorer import Choice, page, words

UPLOADS = {"file", "uploadbutton", "imageeditor", "audio", "video", "multimodaltextbox"}


def config(explorer):
    return page.build(explorer).get_config_file()


def test_nothing_can_be_uploaded_or_edited(explorer, needs_gradio):
    components = config(explorer)["components"]
    kinds = {component["type"] for component in components}
    assert "image" in kinds and not kinds & UPLOADS
    assert all(c["props"]["interactive"] is False for c in components if c["type"] == "image")


def test_no_report_goes_out_and_no_api_is_offered(explorer, needs_gradio):
    found = config(explorer)
    assert found["analytics_enabled"] is False
    assert {d["api_visibility"] for d in found["dependencies"]} == {"private"}


def test_served_on_loopback_alone_and_fetches_nothing_from_outside(
    explorer, needs_gradio, monkeypatch
):
    import gradio

    launch, given = gradio.Blocks.launch, {}

    def unblocked(self, **options):
        given.update(options)
        return launch(self, prevent_thread_lock=True, **options)

    monkeypatch.setattr(gradio.Blocks, "launch", unblocked)
    built = page.build(explorer)
    monkeypatch.setattr(page, "build", lambda explorer: built)
    page.serve(explorer, browser=False)
    try:
        assert given["server_name"] == "127.0.0.1" and given["share"] is False
        assert built.local_url.startswith("http://127.0.0.1:") and built.share_url is None
        html = urllib.request.urlopen(built.local_url, timeout=30).read().decode()
        assert "fonts.googleapis" not in html and "cdnjs" not in html
        assert explorer.name in json.dumps(built.get_config_file(), default=str)
    finally:
        built.close()
    assert threading.active_count() < 100


def test_a_choice_becomes_four_strips_a_sentence_and_a_table(explorer):
    names = explorer.handles.names[:2]
    asked = (explorer.spots[0], names, 3.0, "fast", 2, 0, 1.0, -1.0, 0, 0, 0, 0)
    *strips, said, table = page._draw(explorer, RuntimeError, *asked)
    assert len(strips) == len(words.STRIPS)
    heights = [strip.shape[0] for strip in strips]
    assert heights[1] == heights[2] == heights[3] > heights[0]
    assert "Pixels changed" in said
    assert [len(row) for row in table] == [len(words.COLUMNS)] * 4


def test_a_refused_choice_is_told_on_the_page(explorer):
    asked = (explorer.spots[0], ["nothing"], 3.0, "fast", 1, 0, 1.0)
    with pytest.raises(RuntimeError, match="neither a gene"):
        page._draw(explorer, RuntimeError, *asked)


def test_sliders_are_named_and_the_rest_hidden_and_reset(explorer):
    names = explorer.handles.names[:2]
    *updates, named = page._labels(explorer, dict, explorer.spots[0], names, [])
    assert len(updates) == page.SLIDERS and named == names
    assert [u["visible"] for u in updates] == [True] * 2 + [False] * (page.SLIDERS - 2)
    assert names[1] in updates[1]["label"] and "sequenced spots" in updates[1]["label"]
    assert all(u["value"] == 0 for u in updates[2:])
    assert words.slider("HLA-A", -1.26, 2) == "HLA-A, in SD (sequenced spots: −1.3 to +2.0)"


def test_a_handle_keeps_its_steps_where_one_before_it_is_left_out(explorer):
    first, second, third = explorer.handles.names[:3]
    shown = ([second, third], [first, second], 2.0, -1.0, 0, 0, 0, 0)
    updates = page._labels(explorer, dict, explorer.spots[0], *shown)
    assert [u["value"] for u in updates[: page.SLIDERS]] == [-1.0, 0, 0, 0, 0, 0]


def test_the_map_marks_the_spot_with_and_without_a_handle(explorer):
    plain = page._map(explorer, explorer.spots[0], [])
    coloured = page._map(explorer, explorer.spots[0], explorer.handles.names[:1])
    assert plain.shape == coloured.shape and (plain != coloured).any()


def test_strips_enlarge_without_smoothing():
    images = np.random.default_rng(0).integers(0, 250, (2, 16, 16, 3), dtype=np.uint8)
    shown = page.strip(images)
    assert shown.shape == (2 * 160 + 8, 160, 3)
    assert (shown[:160:10, ::10] == images[0]).all() and (shown[160:168] == 255).all()


def test_warnings_are_said(explorer):
    gene = explorer.handles.genes[4]
    view = explorer.view(Choice(explorer.spots[0], {gene: -50.0}, noises=1))
    said = words.summary(view)
    assert "extrapolated" in said and "Below zero counts" in said and gene in said


def test_without_gradio_the_command_says_what_to_install(monkeypatch, toy):
    real = builtins.__import__

    def missing(name, *rest, **kwargs):
        if name == "gradio":
            raise ImportError(name)
        return real(name, *rest, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    import typer

    app = typer.Typer()
    app.command()(explore)
    result = CliRunner().invoke(app, [str(toy.folder)])
    assert isinstance(result.exception, InputError)
    assert "pip install 'c2lst[explorer]'" in str(result.exception)
