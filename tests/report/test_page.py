from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.privacy import PrivacyAudit
from c2lst.privacy.intervals import Interval
from c2lst.privacy.membership import Attack
from c2lst.report import write_report
from c2lst.report.artefacts import read_artefacts
from c2lst.report.clusters import cluster_views, of_spots
from c2lst.report.page import render

VOID = {"meta", "img", "br", "hr", "input", "link", "source", "wbr"}
LOADING = {"src", "srcset", "poster", "data", "action"}


class Page(HTMLParser):
    """Checks nesting while it collects what tests look at."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"<{tag}> repeats an attribute"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(finished_run: Path) -> Page:
    return Page((finished_run / "report.html").read_text(encoding="utf-8"))


def test_default_name_is_beside_the_artefacts(make_run: Callable[..., Path]) -> None:
    run = make_run(genes=4, synthetic=False)
    assert write_report(run) == run / "report.html"
    other = write_report(run, run.parent / "new" / "page.html")
    assert other.read_bytes().startswith(b"<!DOCTYPE html>")


def test_page_written_from_within_the_folder_is_the_same(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(genes=2)
    page = write_report(run).read_bytes()
    assert f"c2lst report {run.name}</code>".encode() in page
    assert f"c2lst export {run.name}/synthetic".encode() in page
    monkeypatch.chdir(run)
    assert write_report(Path()).read_bytes() == page


def test_document_is_balanced_and_names_what_it_holds(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in page.all("a"):
        href = link["href"] or ""
        assert href.removeprefix("#") in ids or href.startswith("https://arxiv.org/abs/")
    for label in page.all("label"):
        assert label["for"] in ids


def test_nothing_is_loaded_from_outside(page: Page, finished_run: Path) -> None:
    for tag, attributes in page.elements:
        for name in LOADING & set(attributes):
            assert (attributes[name] or "").startswith("data:"), (tag, name)
        assert tag not in {"link", "iframe", "object", "embed"}
        assert "style" not in attributes or "url(" not in (attributes["style"] or "")
    text = (finished_run / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert "url(" not in text
    policy = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policy and (policy[0] or "").startswith("default-src 'none'")
    assert len(text.encode()) < 15e6


def test_every_picture_has_words(page: Page) -> None:
    pictures = page.all("img")
    assert len(pictures) > 40
    assert all((picture.get("alt") or "").strip() for picture in pictures)
    for tag, attributes in page.elements:
        if attributes.get("role") == "img":
            assert attributes.get("aria-label"), tag


def test_order_of_the_parts(page: Page) -> None:
    ids = [section["id"] for section in page.all("section")]
    assert ids == [
        *("slide", "patches", "maps", "methods", "privacy", "stages", "provenance", "limits")
    ]


def test_clusters_show_the_patches_of_their_own_spots(make_run: Callable[..., Path]) -> None:
    run = make_run(genes=6, spots=15)
    artefacts = read_artefacts(run)
    views = cluster_views(artefacts)
    assert len(views) >= 3
    assert sum(view.spots for view in views) == (artefacts.role == "train").sum()
    assert all(len(set(view.genes)) == 4 for view in views)
    text = Page(render(artefacts)).text
    assert f"{views[0].name} · {views[0].spots} spots" in text and "too few" not in text


def test_a_patch_is_shown_with_its_own_spot() -> None:
    order, spots = of_spots(np.array(["c", "a", "A+B", "a", "b"]), np.array(["a", "b"]))
    assert order.tolist() == [1, 3, 4] and spots.tolist() == [0, 0, 1]


def test_few_spots_are_not_clustered(page: Page) -> None:
    assert "too few sampled spots to cluster" in page.text


def test_privacy_without_an_audit_says_so_and_how_to_make_it(page: Page) -> None:
    assert "No full audit of the synthetic pairs has been made" in page.text
    assert "c2lst export run/synthetic -o BUNDLE --adapter run/adapter" in page.text


def test_an_audit_is_shown_with_its_verdict_and_its_numbers(make_run: Callable[..., Path]) -> None:
    run = make_run(genes=4, spots=6)
    (run / "adapter").mkdir()
    told = Attack("adapter's loss", Interval(0.7, 0.62, 0.78), None, 0.2, 40, 140)
    PrivacyAudit("adapter", 40, 140, 3, 0, (), (told,), None, 0.0, None, 0).save(
        run / "adapter" / "privacy.json"
    )
    text = Page(render(read_artefacts(run))).text
    assert "Audit of the adapter" in text and "Leak found." in text
    assert "AUC 0.70 (0.62 to 0.78)" in text and "share pixels" in text
    assert "No full audit of the synthetic pairs has been made" in text
    assert "export run0/adapter" not in text.replace(run.name, "run0")


def test_one_gene_of_each_kind_shows_without_script(page: Page) -> None:
    genes = [div for div in page.all("div") if div.get("class") == "gene"]
    assert len(genes) == 4
    assert not any("hidden" in gene for gene in genes)
    kinds = ["best predicted", "median", "worst predicted", "strongest spatial pattern"]
    assert re.findall(r"GENE\d+ · ([a-z ]+?) Pearson", page.text) == kinds


def test_every_gene_can_be_chosen_where_scripts_run(page: Page) -> None:
    explorer = next(div for div in page.all("div") if div.get("id") == "explorer")
    assert "hidden" in explorer
    options = {option["value"] for option in page.all("option")}
    assert options == {f"GENE{k}" for k in range(14)}
    assert len(page.all("canvas")) == 4
    assert any(p.get("id") == "readout" and p.get("role") == "status" for p in page.all("p"))


def test_plain_names_and_what_each_method_sees(page: Page) -> None:
    for words in (
        "Median of sampled spots sampled values only",
        "Nearest sampled spots (kNN) place",
        "Network, real only (step-matched) image",
        "Network, real + synthetic image + synthetic",
        "c2lst (image + place) image + place + synthetic",
    ):
        assert words in page.text
    assert "train_median" not in page.text


def test_same_artefacts_give_the_same_bytes(finished_run: Path, tmp_path: Path) -> None:
    # Another process: other hash seed, other import order.
    code = (
        "import sys, pathlib; from c2lst.report import write_report;"
        "write_report(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))"
    )
    again = tmp_path / "again.html"
    subprocess.run([sys.executable, "-c", code, str(finished_run), str(again)], check=True)
    assert again.read_bytes() == (finished_run / "report.html").read_bytes()


def test_hostile_names_stay_text(make_run: Callable[..., Path]) -> None:
    hostile = "<script>alert('x')</script>\"&"
    run = make_run(name=hostile, gene_prefix=hostile, genes=4)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["notes"] = [hostile]
    manifest["settings"] = {hostile: hostile}
    manifest["stages"][hostile] = {"status": hostile, "seconds": 1, "summary": {hostile: hostile}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    metrics = (run / "metrics.csv").read_text().replace("knn", "<script>x</script>")
    (run / "metrics.csv").write_text(metrics)
    parsed = Page(render(read_artefacts(run)))
    assert [script.get("type") for script in parsed.all("script")] == ["application/json", None]
    assert f"Section {hostile}" in parsed.text
    assert any(hostile in (img["alt"] or "") for img in parsed.all("img"))


def test_optional_parts_may_be_absent(make_run: Callable[..., Path]) -> None:
    run = make_run(synthetic=False, twin=False, paired=False, restained=False, genes=3)
    shutil.rmtree(run / "section")
    import anndata

    predictions = anndata.read_h5ad(run / "predictions.h5ad")
    del predictions.uns["spatial"], predictions.layers["lower"], predictions.layers["upper"]
    predictions.write_h5ad(run / "predictions.h5ad")
    parsed = Page(render(read_artefacts(run)))
    assert "patches" not in [section["id"] for section in parsed.all("section")]
    assert "None were used in this run" in parsed.text
    assert "Coverage" not in parsed.text
    assert "place + synthetic" not in parsed.text


def test_stain_is_told_apart_only_where_it_differs(make_run: Callable[..., Path]) -> None:
    assert "Restained" in render(read_artefacts(make_run(genes=2, restained=True)))
    assert "Restained" not in render(read_artefacts(make_run(genes=2, restained=False)))


@pytest.mark.parametrize(
    ("file", "stage"),
    [
        ("split.json", "split"),
        ("predictions.h5ad", "predict"),
        ("metrics.csv", "evaluate"),
        ("gene_metrics.csv", "evaluate"),
    ],
)
def test_missing_result_names_its_stage(
    make_run: Callable[..., Path], file: str, stage: str
) -> None:
    run = make_run(genes=2)
    (run / file).unlink()
    with pytest.raises(InputError, match=f"stage '{stage}' is not complete") as caught:
        write_report(run)
    assert "\n" not in str(caught.value)
    assert not (run / "report.html").exists()


def test_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        write_report(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"manifest\.json is missing"):
        write_report(tmp_path)


def test_unsettled_stage_is_said(make_run: Callable[..., Path]) -> None:
    run = make_run(genes=2)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["stages"]["evaluate"]["status"] = "interrupted"
    manifest["stages"]["report"] = {"status": "running", "seconds": 0.0, "summary": {}}
    (run / "manifest.json").write_text(json.dumps(manifest))
    text = Page(render(read_artefacts(run))).text
    assert "is marked “interrupted”" in text
    assert "“running”" not in text


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.csv", "method,spots\n", "column 'genes' is missing"),
        ("gene_metrics.csv", "gene,mae,pearson\nNOBODY,1,1\n", "names a gene"),
        ("predictions.h5ad", "not an h5ad", "AnnData"),
        ("manifest.json", "{", "JSON"),
        ("manifest.json", '{"stages": []}', "'stages' is no object"),
        ("comparisons.csv", "method,against\n", "column 'mae_difference' is missing"),
    ],
)
def test_damaged_files_are_named(
    make_run: Callable[..., Path], file: str, content: str, message: str
) -> None:
    run = make_run(genes=2)
    (run / file).write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        write_report(run)
    assert file in str(caught.value)


def test_failure_leaves_the_old_page(
    make_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(genes=2, synthetic=False)
    write_report(run)
    before = (run / "report.html").read_bytes()
    monkeypatch.setattr(Path, "write_text", _full_disk)
    with pytest.raises(InputError, match="disk is full"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".report*"))


def _full_disk(*_: object, **__: object) -> int:
    import errno

    raise OSError(errno.ENOSPC, "No space left on device")


def test_importing_the_package_stays_light() -> None:
    code = (
        "import sys, c2lst.report;"
        "print([m for m in ('torch','matplotlib','anndata','jinja2','scipy','pandas')"
        " if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
