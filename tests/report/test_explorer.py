from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import anndata
import numpy as np
import pytest

from c2lst.report import packing
from c2lst.report.artefacts import RunArtefacts, read_artefacts
from c2lst.report.choices import choose_genes
from c2lst.report.explorer import GeneExplorer, gene_explorer
from c2lst.report.packing import Packed
from c2lst.report.page import render


def explored(artefacts: RunArtefacts) -> GeneExplorer:
    choices = choose_genes(
        artefacts.gene_scores, artefacts.genes, artefacts.observed, artefacts.centres
    )
    explorer = gene_explorer(artefacts, choices)
    assert explorer is not None
    return explorer


def values_of(explorer: GeneExplorer) -> np.ndarray:
    """What the page's script reads: (G, Q, n)."""
    data = explorer.data
    shape = (len(data["genes"]), len(data["quantities"]), len(data["spots"]["x"]))
    raw = np.frombuffer(base64.b64decode(data["values"]), dtype=f"<u{data['bits'] // 8}")
    low, step = (np.array([gene[key] for gene in data["genes"]]) for key in ("low", "step"))
    return Packed(raw.reshape(shape), low, step).unpack()


@pytest.fixture(scope="module")
def artefacts(finished_run: Path) -> RunArtefacts:
    return read_artefacts(finished_run)


def test_every_gene_has_its_own_values(artefacts: RunArtefacts) -> None:
    explorer = explored(artefacts)
    names = [gene["name"] for gene in explorer.data["genes"]]
    assert sorted(names) == sorted(artefacts.genes)
    columns = [artefacts.genes.tolist().index(name) for name in names]
    values = values_of(explorer)
    for q, name in enumerate(explorer.data["quantities"]):
        layer = artefacts.layer(name)
        assert layer is not None
        np.testing.assert_allclose(values[:, q], layer[:, columns].T, atol=1e-3)


def test_list_starts_with_the_rules_and_ends_with_all(artefacts: RunArtefacts) -> None:
    groups = dict(explored(artefacts).groups)
    assert next(iter(groups)) == "best predicted"
    assert groups["best predicted"][0] == "GENE0"
    assert sorted(groups["every gene, by name"]) == sorted(artefacts.genes)


def test_roles_say_what_is_ringed_and_what_has_no_error(artefacts: RunArtefacts) -> None:
    spots = explored(artefacts).data["spots"]
    assert spots["role"] == artefacts.role.tolist()
    assert (np.array(spots["ringed"]) == (artefacts.role == "train")).all()
    assert (np.array(spots["unscored"]) == np.isin(artefacts.role, ["train", "val"])).all()


def test_a_spot_takes_no_more_text_than_reckoned(artefacts: RunArtefacts) -> None:
    spots = dict(explored(artefacts).data["spots"])
    spots["barcode"] = ["AAACAAGTATCTCCCA-1"] * len(spots["x"])
    assert len(json.dumps(spots)) <= packing.SPOT_TEXT * len(spots["x"])


def test_places_are_in_pitches_inside_the_frame(artefacts: RunArtefacts) -> None:
    data = explored(artefacts).data
    left, right, top, bottom = data["frame"]
    x, y = np.array(data["spots"]["x"]), np.array(data["spots"]["y"])
    assert left < x.min() and x.max() < right and top < y.min() and y.max() < bottom
    assert np.diff(np.unique(x)).min() == pytest.approx(1, abs=0.002)


def test_scales_are_shared_and_the_error_is_centred(artefacts: RunArtefacts) -> None:
    for gene in explored(artefacts).data["genes"]:
        low, high = gene["limits"]["error"]
        assert low == -high
        assert set(gene["limits"]) == {"value", "width", "error"}


def test_maps_without_data_are_left_out(make_run: Callable[..., Path]) -> None:
    run = make_run(genes=3, synthetic=False)
    predictions = anndata.read_h5ad(run / "predictions.h5ad")
    del predictions.layers["lower"], predictions.layers["upper"]
    predictions.layers["observed"] = np.full(predictions.shape, np.nan, dtype=np.float32)
    predictions.write_h5ad(run / "predictions.h5ad")
    explorer = explored(read_artefacts(run))
    assert [kind.key for kind in explorer.maps] == ["predicted"]
    assert explorer.data["quantities"] == ["observed", "predicted"]
    json.dumps(explorer.data, allow_nan=False)


def test_best_predicted_genes_stay_where_room_is_short(
    artefacts: RunArtefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    spots, genes = artefacts.predicted.shape
    room = packing.text_length(spots, genes - 1, 4, 8) + spots * packing.SPOT_TEXT
    monkeypatch.setattr(packing, "LARGEST_TEXT", room)
    explorer = explored(artefacts)
    assert explorer.left_out == 1
    assert explorer.data["bits"] == 8
    assert len(dict(explorer.groups)["every gene, by name"]) == genes - 1
    kept = {gene["name"] for gene in explorer.data["genes"]}
    assert {name for _, names in explorer.groups for name in names} == kept


def test_without_room_for_one_gene_there_is_no_explorer(
    artefacts: RunArtefacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "LARGEST_TEXT", 10)
    assert gene_explorer(artefacts, []) is None
    assert "too many spots" in render(artefacts)
