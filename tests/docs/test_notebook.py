"""The stored notebook is executed, whole, and its code still runs."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebooks" / "simulated_tissue.ipynb"
LENGTHS = re.compile(r"^(SPOTS, CENTRAL_STEPS, ADAPTER_STEPS, NETWORK_STEPS) = .*$", re.M)


@pytest.fixture(scope="module")
def cells():
    return [c for c in json.loads(NOTEBOOK.read_text())["cells"] if c["cell_type"] == "code"]


def test_it_is_stored_executed_in_order_and_small(cells):
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert "error" not in kinds and "display_data" in kinds
    assert not [o for o in outputs if o.get("name") == "stderr"]
    assert NOTEBOOK.stat().st_size < 2_000_000
    assert not re.search(r"/(tmp|root|work|home)/", NOTEBOOK.read_text())


def test_its_code_runs_when_everything_is_shorter(cells):
    import matplotlib

    matplotlib.use("Agg")
    code = "\n".join("".join(cell["source"]) for cell in cells)
    short, changed = LENGTHS.subn(r"\1 = (8, 8), 2, 2, 2", code)
    assert changed == 1
    names: dict[str, object] = {}
    exec(compile(short, str(NOTEBOOK), "exec"), names)
    table = names["table"]
    assert {"c2lst (image + place)", "train_median"} <= set(table["method"])
