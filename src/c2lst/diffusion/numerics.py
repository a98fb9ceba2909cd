"""How a device computes during a training: precision, determinism, compilation."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch

from c2lst.diffusion.options import Precision, TrainSettings
from c2lst.errors import InputError

LOW = {"bf16": torch.bfloat16, "fp16": torch.float16}
BF16_OF_PROCESSORS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


@contextmanager
def numerics(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Set up the backends for a training, and put them back afterwards.

    Raises
    ------
    InputError
        If a deterministic training meets an operation that has no such algorithm.
    """
    cudnn, matmul = torch.backends.cudnn, torch.get_float32_matmul_precision()
    before = cudnn.deterministic, cudnn.benchmark
    strict = torch.are_deterministic_algorithms_enabled()
    # What autocast leaves in float32 below fp32 loses nothing by TF32, which is finer than bf16.
    # In fp32 PyTorch's own choice stays: TF32 in convolutions, but not in matrix products.
    if precision_on(device, settings.precision) != "fp32":
        torch.set_float32_matmul_precision("high")
    # Shapes stay the same, so that it pays to try the convolution algorithms once.
    cudnn.benchmark, cudnn.deterministic = not settings.deterministic, settings.deterministic
    if settings.deterministic:
        # cuBLAS reads it at its first use, and refuses to be deterministic without.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if not settings.deterministic or "deterministic" not in str(error):
            raise
        problem = str(error).splitlines()[0]
        raise InputError(
            "training settings", problem, remedy="train without deterministic"
        ) from error
    finally:
        torch.use_deterministic_algorithms(strict)
        cudnn.deterministic, cudnn.benchmark = before
        torch.set_float32_matmul_precision(matmul)


def own_randomness(device: torch.device) -> AbstractContextManager[None]:
    """Return a context that puts the random state of the CPU and of a CUDA device back."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def has_bf16(device: torch.device) -> bool:
    """Whether a device has instructions for bf16.

    Where PyTorch has to imitate them, bf16 is no gain: a training of the preset ``tiny`` takes
    twice the time of float32 with AVX-512 alone, fourteen times with AVX2.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return True
    # An older PyTorch cannot tell; float32 is never the slow choice.
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name) for name in BF16_OF_PROCESSORS)


def precision_on(device: torch.device, precision: Precision) -> Precision:
    """Return the precision asked for, or fp32 in place of bf16 where the device has none."""
    return "fp32" if precision == "bf16" and not has_bf16(device) else precision


def autocast(settings: TrainSettings, device: torch.device) -> torch.autocast:
    """Return the context of a forward pass of a training."""
    return _in(precision_on(device, settings.precision), device)


def inference(device: torch.device) -> torch.autocast:
    """Return the context of a pass without a gradient, for which bf16 is enough."""
    return _in(precision_on(device, "bf16"), device)


def _in(precision: Precision, device: torch.device) -> torch.autocast:
    low = LOW.get(precision)
    return torch.autocast(device.type, low or torch.bfloat16, enabled=low is not None)


class LossScale:
    """A factor on the loss that keeps small gradients above fp16's smallest number.

    It is halved when a gradient overflows, and doubled after many updates without. In other
    precisions it is 1.

    Parameters
    ----------
    settings
        Of the training.
    """

    GROWS_AFTER = 2000
    START = 2.0**16

    def __init__(self, settings: TrainSettings) -> None:
        self.used = settings.precision == "fp16"
        self.value = self.START if self.used else 1.0
        self.good = 0

    def lower(self) -> bool:
        """Halve it after an overflow; False where there is nothing to halve."""
        if self.value <= 1.0:
            return False
        self.value, self.good = self.value / 2, 0
        return True

    def keep(self) -> None:
        """Count an update without overflow."""
        self.good += 1
        if self.used and self.good >= self.GROWS_AFTER:
            self.value, self.good = self.value * 2, 0


def is_of_the_compiler(error: Exception) -> bool:
    """Whether an error comes from ``torch.compile`` rather than from the model."""
    return type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
