"""Functions that tests run in processes of their own, and how they are run there."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import socket
from pathlib import Path

import pytest
import safetensors.torch
import torch

from c2lst.diffusion.trainer import train
from c2lst.errors import InputError
from c2lst.storage import one_writer, write_json
from toy_training import Numbers, network, plain_network, regression_loss

# As in the tests themselves: the rounding of a sum depends on the number of threads.
torch.set_num_threads(1)

# Imported at the first use of an optimiser, which takes seconds.
SLOW = ["accelerate", "torch._dynamo", "torch.utils.flop_counter", "rich.progress"]


def exit_codes(calls, patience=120):
    """Run each (function, *arguments) in a process of its own, all at once."""
    # Children start from a server that has the imports done, and no threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["c2lst.diffusion.trainer", *SLOW])
    processes = [context.Process(target=call, args=arguments) for call, *arguments in calls]
    for process in processes:
        process.start()
    for process in processes:
        process.join(patience)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]


BUSY = 3


def work_alone(folder):
    """Exit with ``BUSY`` where another process works."""
    try:
        with one_writer(folder):
            pass
    except InputError:
        raise SystemExit(BUSY) from None


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_in(directory, settings, point, calls, stopping=None):
    """Train until ``point`` is reached for the ``calls``-th time, and be killed there."""
    left = iter(range(calls, -1, -1))

    def dying(original, before=None):
        def call(*arguments, **options):
            if next(left, 0) == 0:
                if before:
                    before(*arguments)
                die()
            return original(*arguments, **options)

        return call

    loss = regression_loss
    if point == "step":
        loss = dying(loss)
    elif point == "tensors":

        def half(tensors, path):
            Path(path).write_bytes(safetensors.torch.save(tensors)[:900])

        safetensors.torch.save_file = dying(safetensors.torch.save_file, half)
    elif point == "rename":
        Path.replace = dying(Path.replace)
    elif point == "prune":

        def some(path, **_):
            for child in list(Path(path).glob("*"))[:1]:
                child.unlink()

        shutil.rmtree = dying(shutil.rmtree, some)
    train(network(), loss, Numbers(), settings, directory=directory, stopping=stopping)


def train_together(function, count, *arguments, **options):
    """Run ``function(rank, *arguments)`` in ``count`` processes that train together."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return exit_codes(
        [(_join, function, rank, count, port, arguments, options) for rank in range(count)]
    )


def _join(function, rank, count, port, arguments, options):
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_USE_CPU": "true",
        "OMP_NUM_THREADS": "1",
    }
    function(rank, *arguments, **options)


def train_and_save(rank, folder, settings, samples=13, most=None, stopping=None):
    """Train in ``folder``; save the weights that a process ends with, and what it was given.

    Process r has memory for ``most[r]`` samples.
    """

    def loss(model, batch, draws):
        values = regression_loss(model, batch, draws)
        if most is not None and len(values) > most[rank]:
            values[0].backward(retain_graph=True)
            raise torch.OutOfMemoryError("out of memory")
        return values

    source, model = Numbers(samples), plain_network()
    if rank:
        torch.nn.init.ones_(model[0].weight)  # the main process's weights are what counts
    history = train(model, loss, source, settings, directory=folder, stopping=stopping)
    safetensors.torch.save_file(model.state_dict(), folder / f"weights-{rank}.safetensors")
    write_json(folder / f"told-{rank}.json", {"losses": history.losses, "fetched": source.fetched})


def expect_input_error(rank, folder, settings, problem):
    """Train in ``folder`` and see that it is refused as it should be."""
    with pytest.raises(InputError, match=problem[rank]):
        train(plain_network(), regression_loss, Numbers(), settings, directory=folder)
