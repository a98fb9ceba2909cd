"""What docs/scaling.md leads to: the accelerator benchmark, launch files, the built-in recipe."""

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

from c2lst.central.builtin import MOST_BYTES
from c2lst.diffusion.unet import build_unet
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.settings import load_settings

ROOT = Path(__file__).parents[2]
BENCHMARKS, LAUNCH = ROOT / "benchmarks", ROOT / "docs" / "launch"


@pytest.fixture
def accelerator(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield import_module("accelerator")
    for name in ("accelerator", "training", "versus"):
        sys.modules.pop(name, None)


def test_the_benchmark_measures_a_toy_and_writes_its_tables(accelerator, tmp_path):
    threads = torch.get_num_threads()
    accelerator.main(["-o", str(tmp_path), "--toy", "--batch", "2", "--steps", "2"])
    torch.set_num_threads(threads)
    (row,) = json.loads((tmp_path / "accelerator.json").read_text())["rows"]
    assert row["train_images_s"] > 0 and row["sample_images_s"]["fast"] > 0
    # One pass forward and two backward, of which the first layer's is not needed.
    assert 2.5 < row["train_flop"] / row["pass_flop"] <= 3
    page = (tmp_path / "accelerator.md").read_text()
    assert "| toy |" in page and "400,000 patches" in page


def test_the_tables_tell_what_was_measured_in_another_way_than_asked_for(
    accelerator, tmp_path, monkeypatch
):
    def train(*_, watchers, **__):
        watchers[0].times.extend(range(9))
        for _ in range(2):
            logger.info("not enough memory: going on with micro-batches of %d, 2 in each step", 1)

    monkeypatch.setattr(accelerator, "train", train)
    monkeypatch.setattr(accelerator, "peer_ratio", lambda *_: [])
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    accelerator.main(["-o", str(tmp_path), "--toy", "--batch", "2", "--steps", "2"])
    page = (tmp_path / "accelerator.md").read_text()
    assert page.count("\n- toy: not enough memory: going on with micro-batches of 1, 2 in") == 1


def test_an_interrupted_benchmark_goes_on_and_mixes_no_measurements(
    accelerator, tmp_path, monkeypatch
):
    tried = []

    def measured(settings, device, batch, arguments):
        tried.append(settings.shape.size)
        if len(tried) == 2:
            raise KeyboardInterrupt
        row = {"precision": "fp32", "parameters": 1, "train_flop": None, "train_images_s": 1.0}
        row |= {"sustained_flops": None, "share_of_peak": None, "memory_gb": 1.0}
        return row | {"faster_than_peer": [], "sample_images_s": {"fast": 1.0}}

    monkeypatch.setattr(accelerator, "measured", measured)
    monkeypatch.setattr(accelerator, "best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    words = ["-o", str(tmp_path), "--presets", "tiny", "small", "--steps"]
    with pytest.raises(KeyboardInterrupt):
        accelerator.main([*words, "2"])
    accelerator.main([*words, "2"])
    assert tried == [32, 48, 48]
    with pytest.raises(InputError, match="another steps, found 2, expected 3"):
        accelerator.main([*words, "3"])


def test_what_trained_through_the_compiler_is_not_said_to_draw_through_it(accelerator):
    settings = accelerator.settings_of("toy", False)
    found = accelerator.drawn(
        build_unet(settings.shape), settings.process, 16, torch.device("cpu"), images=0
    )
    assert found["sample_images_s"] == {} and found["pass_flop"] > 0


@pytest.mark.parametrize(
    "script", [BENCHMARKS / "builtin.sh", LAUNCH / "pretrain.sbatch"], ids=lambda p: p.name
)
def test_scripts_are_of_valid_syntax(script):
    subprocess.run(["bash", "-n", script], check=True)


def test_a_launcher_on_a_cluster_gets_the_cores_of_its_node(tmp_path):
    """Slurm's commands are stood in for; its srun has forgotten what sbatch was told."""
    for name, says in (("scontrol", "echo node"), ("srun", 'echo "$SRUN_CPUS_PER_TASK"')):
        (tmp_path / name).write_text(f"#!/bin/bash\n{says}\n")
        (tmp_path / name).chmod(0o755)
    given = {"SLURM_JOB_NODELIST": "node", "SLURM_NNODES": "1", "SLURM_CPUS_PER_TASK": "24"}
    told = subprocess.run(
        ["bash", LAUNCH / "pretrain.sbatch", "collection", "output"],
        env=os.environ | given | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "24\n"


def test_the_launcher_knows_its_settings():
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(LAUNCH / "accelerate.yaml"))
    assert (config.num_processes, config.num_machines, config.mixed_precision) == (8, 1, "no")


def test_the_built_in_model_will_fit_where_it_is_shipped():
    central = load_settings("base", BENCHMARKS / "builtin.toml").central
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build_unet(central.shape).parameters())
    assert central.windows == 0.8 and 2 * parameters < 0.97 * MOST_BYTES
