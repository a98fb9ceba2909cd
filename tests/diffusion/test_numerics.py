"""bf16 where a device has it, and float32 where it would have to be imitated."""

import numpy as np
import pytest
import torch

from c2lst.diffusion.features import denoiser_features, joined
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.numerics import autocast, has_bf16, inference, precision_on
from c2lst.diffusion.options import TrainSettings
from c2lst.diffusion.sampling import get_sampler, sample
from c2lst.diffusion.summary import peak_flops
from c2lst.diffusion.unet import UNetShape, build_unet

CPU = torch.device("cpu")


def processor_with(monkeypatch, **capabilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


def width_in(context):
    """Return the type that a convolution gives under a context."""
    with context:
        return torch.nn.Conv2d(1, 1, 1)(torch.ones(1, 1, 2, 2)).dtype


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16"])
def test_a_processor_with_instructions_for_bf16_uses_them(monkeypatch, name):
    processor_with(monkeypatch, avx2=True, **{name: True})
    assert has_bf16(CPU)
    assert width_in(inference(CPU)) == torch.bfloat16
    assert width_in(autocast(TrainSettings(1, precision="bf16"), CPU)) == torch.bfloat16


def test_a_processor_without_computes_in_float32(monkeypatch):
    processor_with(monkeypatch, avx2=True, avx512_f=True, avx512_bf16=False)
    assert not has_bf16(CPU)
    assert width_in(inference(CPU)) == torch.float32
    assert width_in(autocast(TrainSettings(1, precision="bf16"), CPU)) == torch.float32
    assert precision_on(CPU, "bf16") == precision_on(CPU, "fp32") == "fp32"
    assert precision_on(CPU, "fp16") == "fp16"  # asked for by name, and no default


def test_a_pytorch_that_cannot_tell_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bf16(CPU)


def test_float32_stays_float32(monkeypatch):
    processor_with(monkeypatch, bf16=True)
    assert width_in(autocast(TrainSettings(1, precision="fp32"), CPU)) == torch.float32


def test_graphics_cards_are_asked_for_bf16_of_their_own(monkeypatch):
    asked = []
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation: asked.append(including_emulation),
    )
    assert not has_bf16(torch.device("cuda"))
    assert asked == [False]


def test_the_share_of_the_peak_is_that_of_the_precision_used(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A100-SXM4-80GB")
    for has, peak in ((True, 312e12), (False, 156e12)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has, **_: has)
        assert peak_flops(TrainSettings(1, precision="bf16"), torch.device("cuda")) == peak


def test_drawing_and_encoding_follow_the_device(monkeypatch):
    torch.manual_seed(0)
    unet = build_unet(UNetShape(16, (8, 16), layers=1, groups=4)).eval()
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    process, found = NoiseProcess(), {}
    for name in ("avx2", "bf16"):
        processor_with(monkeypatch, **{name: True})
        kinds = set()

        def denoise(noisy, timestep, chosen, kinds=kinds):
            output = unet(noisy, timestep).sample
            kinds.add(output.dtype)
            return output

        sample(denoise, [1, 2], (3, 16, 16), process, get_sampler("fast"))
        found[name] = kinds, joined(denoiser_features(unet, process, images))
    assert (found["avx2"][0], found["bf16"][0]) == ({torch.float32}, {torch.bfloat16})
    full, half = found["avx2"][1], found["bf16"][1]
    assert full.dtype == half.dtype == np.float32
    assert not np.array_equal(full, half)
    np.testing.assert_allclose(half, full, atol=0.02 * full.std())
