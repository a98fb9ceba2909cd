r"""Sampling time per image at equal kernel distance, against DDIM with 250 steps.

Two questions. How many times faster are the presets than DDIM 250 on one trained denoiser, and is
the distance of their samples to held-out patches the same? And how long does the peer's own
DDIM 250 take on its network of as many parameters as ours?

    python benchmarks/presets.py DATA/lc25000 -o OUT         # trains the denoiser
    python benchmarks/sampling.py OUT/velocity--reference--0-1000/central DATA/lc25000 -o OUT \
        --peer-python PEER/bin/python
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from presets import Patches
from training import WIDTHS
from versus import Peer, ratio

from c2lst.central import CentralModel
from c2lst.diffusion.guidance import guided
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.sampling import SAMPLERS, Sampler, sample
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.evaluation.distribution import kernel_distance
from c2lst.evaluation.encoders import ENCODERS, get_encoder

SIZE = 64
PEER_STEPS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("central", type=Path)
    parser.add_argument("data", type=Path, help="folder of LC25000 with groups.csv")
    parser.add_argument("-o", "--output", type=Path, required=True, help="that of presets.py")
    parser.add_argument("-n", type=int, default=300, help="images of each preset")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-python", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    one_denoiser(arguments)
    if arguments.peer_python:
        two_networks(arguments)


def one_denoiser(arguments: argparse.Namespace) -> None:
    """Print time and distance of each preset on one trained denoiser."""
    model, patches = CentralModel.load(arguments.central), Patches(arguments.data, arguments.output)
    seconds: dict[str, list[float]] = {}
    for _ in range(arguments.rounds):
        for name in SAMPLERS:
            started = time.process_time()
            model.sample(8, sampler=name)
            seconds.setdefault(name, []).append((time.process_time() - started) / 8)
    print(f"one denoiser of {model.size} px, {arguments.n} images of each preset")
    features = " | ".join(f"distance, {name} features" for name in ENCODERS)
    print(f"| preset | ms/image | faster than DDIM 250 | {features} |")
    print("|---|---|---|" + "---|" * len(ENCODERS))
    for name, sampler in SAMPLERS.items():
        images = model.sample(arguments.n, sampler=name)
        distances = [
            kernel_distance(
                get_encoder(encoder).encode(images),
                patches.held_features(encoder),
                groups=(None, patches.groups),
            )
            for encoder in ENCODERS
        ]
        print(
            f"| {name} ({sampler.solver}, {sampler.steps}) | {1e3 * np.median(seconds[name]):.0f} "
            f"| {ratio(seconds['paper'], seconds[name])} | {' | '.join(map(str, distances))} |",
            flush=True,
        )


def two_networks(arguments: argparse.Namespace) -> None:
    """Print the time of the peer's DDIM 250 and of our fast preset, at matched parameters.

    Both with guidance, two passes a step. The peer's is the time of a DDIM with 10 steps times 25:
    all its steps cost the same.
    """
    peer = Peer(arguments.peer_python, "--size", str(SIZE), "--sampling-steps", str(PEER_STEPS))
    unet = build_unet(UNetShape(SIZE, WIDTHS, 1, groups=16)).eval()
    fast = SAMPLERS["fast"]
    theirs, ours = [], []
    for _ in range(arguments.rounds):
        seconds = peer.seconds(do="sample", images=4, precision="bf16")
        theirs.append(seconds * SAMPLERS["paper"].steps / PEER_STEPS)
        ours.append(ours_once(unet, fast))
    peer.close()
    print(
        f"{SIZE} px, matched parameters, guided, bf16: "
        f"peer's DDIM 250 {np.median(theirs):.1f} s/image, our fast {np.median(ours):.2f} s/image: "
        f"{ratio(theirs, ours)}"
    )


def ours_once(unet: torch.nn.Module, sampler: Sampler) -> float:
    """Draw 4 images with guidance, both branches in one batch; return the seconds of one."""

    def denoise(noisy: torch.Tensor, timestep: int, _: slice) -> torch.Tensor:
        conditional, null = unet(noisy.repeat(2, 1, 1, 1), timestep).sample.float().chunk(2)
        return guided(conditional, null, 3.0)

    started = time.process_time()
    sample(denoise, range(4), (3, SIZE, SIZE), NoiseProcess(), sampler)
    return (time.process_time() - started) / 4


if __name__ == "__main__":
    main()
