import pytest
import torch

from c2lst.diffusion import summary
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.summary import describe, peak_flops


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (42, "42 s"),
        (200, "3.3 min"),
        (6 * 3600, "6 h"),
        (43.2 * 86400, "43 days"),
        (170.3 * 86400, "170 days"),
        (2000 * 86400, "2,000 days"),
    ],
)
def test_durations_are_told_in_words(seconds, words):
    assert describe(seconds) == words


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 494e12),
        ("NVIDIA H100 PCIe", 378e12),
        ("NVIDIA A100-SXM4-40GB", 156e12),
        ("NVIDIA L40S", 183e12),
        ("NVIDIA L4", 60e12),
        ("NVIDIA L40", None),
        ("NVIDIA A10G", None),
        ("NVIDIA RTX A1000 Laptop GPU", None),
    ],
)
def test_a_peak_is_that_of_the_device_and_not_of_another_of_like_name(monkeypatch, name, peak):
    monkeypatch.setattr(summary, "device_name", lambda device: name)
    settings = TrainSettings(steps=1, precision="fp32")
    assert peak_flops(settings, torch.device("cuda")) == peak
