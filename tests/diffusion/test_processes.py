"""Several processes that train together, by gloo on the CPU."""

import dataclasses
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from c2lst.diffusion import processes
from c2lst.diffusion.trainer import TrainSettings
from c2lst.errors import InputError
from c2lst.storage import read_json
from children import expect_input_error, train_and_save, train_together
from toy_training import close, same

SETTINGS = TrainSettings(
    steps=10, batch_size=7, checkpoint_every=6, ema_decay=0.9, learning_rate=0.01
)


def ended(folder, count, settings=SETTINGS, **options):
    """Train with ``count`` processes; return their weights, losses, and the samples they saw."""
    folder.mkdir(exist_ok=True)
    assert train_together(train_and_save, count, folder, settings, **options) == [0] * count
    told = [read_json(folder / f"told-{rank}.json") for rank in range(count)]
    return (
        [load_file(folder / f"weights-{rank}.safetensors") for rank in range(count)],
        told[0]["losses"],
        [t["fetched"] for t in told],
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return ended(tmp_path_factory.mktemp("alone"), 1)


def test_two_processes_give_the_result_of_one(alone, tmp_path):
    weights, losses, fetched = ended(tmp_path, 2)
    assert same(weights[0], weights[1])
    assert close(weights[0], alone[0][0]) and np.allclose(losses, alone[1], rtol=1e-5)
    # Of seven samples one process has four and the other three, and fetches no others.
    assert [len(f) for f in (fetched[0][2:], fetched[1])] == [40, 30]
    together = sorted(fetched[0][2:] + fetched[1])
    assert together == sorted(alone[2][0][2:])
    names = {p.name for p in tmp_path.iterdir()}
    assert {"checkpoint-6", "checkpoint-10", "log.jsonl"} <= names


def test_a_process_without_samples_takes_part(tmp_path):
    single = dataclasses.replace(SETTINGS, batch_size=1, steps=5)
    (tmp_path / "one").mkdir()
    expected, _, _ = ended(tmp_path / "one", 1, single)
    weights, _, fetched = ended(tmp_path / "two", 2, single)
    assert same(weights[0], weights[1]) and close(weights[0], expected[0])
    assert fetched[1] == []


def test_all_halve_their_micro_batch_when_one_runs_out_of_memory(alone, tmp_path):
    weights, losses, _ = ended(tmp_path, 2, most=(10, 1))
    assert same(weights[0], weights[1])
    assert close(weights[0], alone[0][0]) and np.allclose(losses, alone[1], rtol=1e-5)
    state = read_json(tmp_path / "checkpoint-10" / "state.json")
    assert state["numbers"]["micro_batch"] == 1


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_a_run_goes_on_with_another_number_of_processes(alone, tmp_path, before, after):
    ended(tmp_path, before)
    shutil.rmtree(tmp_path / "checkpoint-10")
    weights, losses, fetched = ended(tmp_path, after)
    assert close(weights[0], alone[0][0]) and np.allclose(losses, alone[1], rtol=1e-5)
    assert sum(len(f) for f in fetched) == 2 + 4 * 7


def test_an_error_of_the_main_process_stops_the_others(tmp_path):
    (tmp_path / "file").touch()
    problems = ["cannot be made", "main process stopped"]
    codes = train_together(expect_input_error, 2, tmp_path / "file", SETTINGS, problems)
    assert codes == [0, 0]


def test_low_precision_is_alike(tmp_path):
    low = dataclasses.replace(SETTINGS, precision="bf16")
    one, two = ended(tmp_path / "one", 1, low), ended(tmp_path / "two", 2, low)
    assert close(one[0][0], two[0][0], tolerance=1e-3)
    assert torch.isfinite(two[0][0]["0.weight"]).all()


def test_processes_that_do_not_find_one_another_are_refused(monkeypatch):
    """accelerate joins none on Apple's GPUs: each would write as the main process."""
    processes.Processes()  # what accelerate finds here is what it finds there: one process
    monkeypatch.setattr(processes, "best_device", lambda: torch.device("mps"))
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="do not find one another, found WORLD_SIZE=2 on mps"):
        processes.Processes()


def test_many_small_weights_are_counted_once_each(monkeypatch):
    monkeypatch.setattr(processes, "BUCKET", 100)
    counted, plain = [], torch.Tensor.numel
    monkeypatch.setattr(torch.Tensor, "numel", lambda self: counted.append(self) or plain(self))
    buckets = [len(bucket) for bucket in processes._buckets([torch.zeros(4)] * 60)]
    assert buckets == [25, 25, 10] and len(counted) == 60
