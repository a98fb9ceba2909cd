"""The page in a real browser, where there is one: it draws, links its maps and stays silent."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import anndata
import numpy as np
import pytest

from c2lst.report import write_report

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=8000", "--dump-dom"),
)

# What a reader's hands do, and what the page shows after each step.
HANDS = """
<script>
const steps = {};
const maps = document.getElementById("gene-maps");
const canvases = Array.from(maps.querySelectorAll("canvas"));
const pick = document.getElementById("gene-pick");
const send = (target, kind, name, more) =>
  target.dispatchEvent(new kind(name, { bubbles: true, cancelable: true, ...more }));
const note = async (step) => {
  // After the maps are drawn, and the address written.
  await new Promise((done) => setTimeout(done, 500));
  steps[step] = {
    pictures: canvases.map((canvas) => canvas.toDataURL()),
    scales: Array.from(maps.querySelectorAll(".low, .high"), (end) => end.textContent),
    rings: Array.from(maps.querySelectorAll(".ring"), (ring) =>
      ring.hidden ? "" : `${ring.style.left} ${ring.style.top}`),
    readout: document.getElementById("readout").textContent,
    hash: location.hash,
  };
};
const middle = (canvas) => {
  const box = canvas.getBoundingClientRect();
  return { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, pointerId: 1 };
};
// Made-up pointers cannot be captured.
Element.prototype.setPointerCapture = () => {};
(async () => {
  await note("opened");
  pick.value = "GENE7";
  send(pick, Event, "change");
  await note("gene");
  send(canvases[3], PointerEvent, "pointermove", middle(canvases[3]));
  await note("hover");
  send(maps, KeyboardEvent, "keydown", { key: "ArrowRight" });
  await note("arrow");
  send(canvases[0], WheelEvent, "wheel", { deltaY: -400, ...middle(canvases[0]) });
  await note("scroll");
  send(canvases[0], WheelEvent, "wheel", { deltaY: -400, ctrlKey: true, ...middle(canvases[0]) });
  await note("wheel");
  const grip = middle(canvases[1]);
  send(canvases[1], PointerEvent, "pointerdown", grip);
  send(canvases[1], PointerEvent, "pointermove", { ...grip, clientX: grip.clientX - 30 });
  send(canvases[1], PointerEvent, "pointerup", grip);
  await note("drag");
  document.getElementById("zoom-reset").click();
  await note("reset");
  const result = document.createElement("pre");
  result.id = "steps";
  result.textContent = JSON.stringify(steps);
  document.body.append(result);
})();
</script>
"""


# Nothing is shown when a document is only dumped, so that no frame would ever be asked for.
FRAMES = "<script>window.requestAnimationFrame = (draw) => setTimeout(draw, 16);</script>"


def browse(page: Path, fragment: str, profile: Path) -> tuple[str, list[str]]:
    """Open a page and return its document after the scripts, and what the console said."""
    assert CHROMIUM is not None
    address = page.as_uri() + (f"#{fragment}" if fragment else "")
    seen = subprocess.run(
        [CHROMIUM, *QUIET, f"--user-data-dir={profile}", "--window-size=1200,900", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return seen.stdout, [line for line in seen.stderr.splitlines() if ":CONSOLE" in line]


@pytest.fixture(scope="module")
def steps(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What the page shows after each of the reader's steps."""
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "page.html"
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    text = text.replace("<body>", f"<body>{FRAMES}").replace("</body>", f"{HANDS}</body>")
    page.write_text(text, encoding="utf-8")
    document, console = browse(page, "", folder / "profile")
    assert console == []
    found = re.search(r'<pre id="steps">(.*?)</pre>', document, re.DOTALL)
    assert found is not None
    return json.loads(html.unescape(found[1]))


def test_maps_are_drawn_and_differ(steps: dict[str, dict]) -> None:
    pictures = steps["opened"]["pictures"]
    assert len(pictures) == len(set(pictures)) == 4
    assert all(len(picture) > 5000 for picture in pictures)
    assert steps["opened"]["hash"] == ""


def test_another_gene_changes_maps_and_scales(steps: dict[str, dict]) -> None:
    before, after = steps["opened"], steps["gene"]
    assert not set(before["pictures"]) & set(after["pictures"])
    assert before["scales"] != after["scales"]
    assert after["hash"] == "#gene=GENE7"


def test_pointing_at_a_spot_marks_it_in_all_maps_and_reads_it(steps: dict[str, dict]) -> None:
    hover = steps["hover"]
    assert steps["gene"]["rings"] == [""] * 4
    assert len(set(hover["rings"])) == 1 and hover["rings"][0]
    assert re.match(r"Spot 4x4, .*GENE7: observed .*90 % interval", hover["readout"])
    assert hover["hash"] == "#gene=GENE7&spot=4x4"
    assert hover["pictures"] == steps["gene"]["pictures"]


def test_arrow_keys_go_to_the_neighbour(steps: dict[str, dict]) -> None:
    assert steps["arrow"]["readout"].startswith("Spot 5x4,")


def test_zoom_and_drag_are_linked_and_reset(steps: dict[str, dict]) -> None:
    assert steps["scroll"]["pictures"] == steps["arrow"]["pictures"]
    for before, after in (("arrow", "wheel"), ("wheel", "drag")):
        assert not set(steps[before]["pictures"]) & set(steps[after]["pictures"])
        assert len(set(steps[after]["rings"])) == 1
        assert steps[before]["rings"] != steps[after]["rings"]
    assert steps["reset"]["pictures"] == steps["gene"]["pictures"]


def test_link_opens_gene_and_spot(finished_run: Path, tmp_path: Path) -> None:
    fragment = urlencode({"gene": "GENE11", "spot": "3x4"})
    document, console = browse(finished_run / "report.html", fragment, tmp_path / "profile")
    assert console == []
    readout = re.search(r'<p id="readout"[^>]*>([^<]*)<', document)
    assert readout is not None
    assert re.match(r"Spot 3x4, .*GENE11: observed", readout[1])


def test_predictions_alone_are_enough(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(genes=3, synthetic=False)
    predictions = anndata.read_h5ad(run / "predictions.h5ad")
    del predictions.layers["lower"], predictions.layers["upper"], predictions.uns["spatial"]
    predictions.layers["observed"] = np.full(predictions.shape, np.nan, dtype=np.float32)
    predictions.write_h5ad(run / "predictions.h5ad")
    fragment = urlencode({"gene": "GENE1", "spot": "4x4"})
    document, console = browse(write_report(run), fragment, tmp_path / "profile")
    assert console == []
    assert document.count("<canvas") == 1
    assert re.search(r"GENE1: observed not measured, predicted \d\.\d\d\.<", document)


def test_hostile_names_are_shown_not_run(make_run: Callable[..., Path], tmp_path: Path) -> None:
    run = make_run(gene_prefix="<script>alert('x')</script>\"&+ ", genes=3, synthetic=False)
    fragment = urlencode({"gene": "<script>alert('x')</script>\"&+ 2", "spot": "4x4"})
    document, console = browse(write_report(run), fragment, tmp_path / "profile")
    assert console == []
    assert "&lt;script&gt;alert('x')&lt;/script&gt;\"&amp;+ 2: observed" in document


def test_errors_of_a_script_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<!DOCTYPE html><script>missing();</script>")
    _, console = browse(page, "", tmp_path / "profile")
    assert any("missing is not defined" in line for line in console)
