import pytest
import torch

from c2lst.devices import VARIABLE, best_device, device_name
from c2lst.diffusion.processes import Processes
from c2lst.errors import InputError


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    """A GPU that there is, as far as torch is asked."""
    for name in (VARIABLE, "ACCELERATE_USE_CPU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_an_accelerator_is_best():
    assert best_device() == torch.device("cuda")


@pytest.mark.parametrize("name", ["cpu", "cuda:1", " cuda "])
def test_a_device_that_is_named_is_taken(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, name)
    assert best_device() == torch.device(name.strip())


@pytest.mark.parametrize("name", ["gpu", "cuda:2", "cuda:-1", "mps:7", "meta", "cuda:one"])
def test_a_device_that_is_not_there_is_refused(monkeypatch, name):
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(InputError, match=f"{VARIABLE}: there is no such device here, found"):
        best_device()


def test_accelerates_own_variable_counts_for_all_that_is_computed(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert best_device() == torch.device("cpu") == Processes().device


def test_a_device_has_a_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU {device.index}")
    assert [device_name(torch.device(n)) for n in ("cpu", "cuda:1")] == ["cpu", "GPU 1"]
