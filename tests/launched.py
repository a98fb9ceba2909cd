"""What tests run in processes of their own, and may kill."""

from __future__ import annotations

from c2lst import workflow
from c2lst.cli.app import app
from c2lst.local.batches import ImageStore
from children import die


def run_command(arguments, batches=None):
    """Run a command; be killed instead of keeping another batch than the first ``batches``."""
    original, left = ImageStore.keep, iter(range(batches or 0))

    def keep(self, *arrays):
        if next(left, None) is None:
            die()
        original(self, *arrays)

    if batches is not None:
        ImageStore.keep = keep
    app([str(argument) for argument in arguments], standalone_mode=False)


def run_command_together(rank, arguments, batches):
    """Run a command as one of several processes, each of which keeps at most ``batches``."""
    run_command(arguments, batches)


def run_far_away(slide, output, settings):
    """Run the workflow on a device that takes no tensor of the CPU."""
    import os

    import torch

    import second_device

    torch.set_num_threads(1)
    second_device.install()
    os.environ["C2LST_DEVICE"] = second_device.NAME
    workflow.run(slide, output, settings)
