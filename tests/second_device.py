"""A device that stands in for a GPU: it computes on the CPU and takes no tensor of another device.

What meets tensors of two devices fails here as it would on a GPU, and what runs through ends in
the CPU's numbers to the bit. It changes torch for good: use it in a process of its own.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

NAME = "faraway"
HERE = torch.device("cpu")
ACROSS = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
# A GPU's tensor may be indexed by the CPU's.
INDEXING = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default}


class Far(torch.Tensor):
    """A tensor of the device; what it holds lies in ``raw``, on the CPU."""

    @staticmethod
    def __new__(cls, raw):
        if raw.dtype is torch.float64:
            raise TypeError("this device, like Apple's, has no float64")
        far = torch.Tensor._make_wrapper_subclass(
            cls,
            raw.size(),
            strides=raw.stride(),
            storage_offset=raw.storage_offset(),
            dtype=raw.dtype,
            device=torch.device(NAME, 0),
        )
        far.raw = raw
        return far

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})

    def untyped_storage(self):
        return self.raw.untyped_storage()


class Dispatch(TorchDispatchMode):
    """Sends every operation, those that make tensors, too, to where its tensors are."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


def compute(function, args, kwargs):
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    far = {id(tensor.raw): tensor for tensor in tensors if isinstance(tensor, Far)}
    bound = (args[0], *args[2:]) if function in INDEXING and isinstance(args[0], Far) else args
    near = any(
        isinstance(t, torch.Tensor) and not isinstance(t, Far) and t.dim()
        for t in tree_leaves((bound, kwargs))
    )
    if far and near and function not in ACROSS:
        shapes = [(str(t.device), tuple(t.shape)) for t in tensors]
        raise RuntimeError(f"{function}: tensors of two devices, {shapes}")
    device = kwargs.get("device")
    if device is not None:
        goes_far = torch.device(device).type == NAME
        kwargs = kwargs | {"device": HERE}
    elif function in ACROSS:
        goes_far = isinstance(args[0], Far)
    else:
        goes_far = bool(far)
    args, kwargs = tree_map(lambda x: x.raw if isinstance(x, Far) else x, (args, kwargs))

    def wrapped(found):
        if not isinstance(found, torch.Tensor) or not goes_far:
            return found
        # What is changed in place stays the same tensor.
        return far[id(found)] if id(found) in far else Far(found)

    return tree_map(wrapped, function(*args, **kwargs))


class Backend:
    """What torch asks of a kind of device."""

    def is_initialized(self):
        return True

    is_available = is_initialized

    def device_count(self):
        return 1

    def current_device(self):
        return 0

    def _is_in_bad_fork(self):
        return False

    def get_amp_supported_dtype(self):
        return [torch.bfloat16, torch.float16]

    # The device draws with the CPU's generators.

    def get_rng_state(self, device=None):
        return torch.empty(0, dtype=torch.uint8)

    def set_rng_state(self, state, device=None):
        pass

    def manual_seed_all(self, seed):
        pass


LIBRARIES = []
"""Registered for as long as they are referred to."""


def install():
    """Make the device known to torch, and send all operations of this thread through it."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

    _setup_privateuseone_for_python_backend(NAME, Backend())
    core, every = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    # Without these, what Python's numbers or another thread makes does not get there.
    core.impl("empty.memory_format", _empty, "PrivateUse1")
    core.impl("empty_strided", _empty_strided, "PrivateUse1")
    core.impl("_copy_from", _copy_from, "PrivateUse1")
    every.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    LIBRARIES.extend([core, every])
    Dispatch().__enter__()


def _empty(size, dtype=None, **_):
    return Far(torch.empty(size, dtype=dtype))


def _empty_strided(size, stride, dtype=None, **_):
    return Far(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source, target, non_blocking=False):
    source, raw = (t.raw if isinstance(t, Far) else t for t in (source, target))
    raw.copy_(source)
    return target
