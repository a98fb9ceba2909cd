"""The presets: settings of a whole run, by the machine and the time that they are for."""

from __future__ import annotations

from dataclasses import replace

from c2lst.central import CentralSettings
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.trainer import TrainSettings
from c2lst.diffusion.unet import UNetShape
from c2lst.local import AdapterSettings, SynthesisSettings
from c2lst.prediction.network_baselines import NETWORKS
from c2lst.prediction.options import PredictorSettings
from c2lst.settings.run import RunSettings


def _tiny() -> RunSettings:
    """Take minutes on two cores: 32 px patches, for the simulated tissue and for a first look."""
    return RunSettings(
        preset="tiny",
        central=CentralSettings(
            UNetShape(size=32, widths=(32, 64, 96, 128), layers=1, groups=16),
            NoiseProcess(prediction="v_prediction"),
            # Small batches: at this length, more updates do more than less noise in each.
            TrainSettings(
                steps=1200,
                batch_size=12,
                learning_rate=8e-4,
                schedule="cosine",
                ema_decay=0.995,
                precision="bf16",
                checkpoint_every=100,
            ),
        ),
        adapter=AdapterSettings(
            TrainSettings(
                steps=400,
                batch_size=16,
                learning_rate=1e-3,
                schedule="cosine",
                ema_decay=0.99,
                precision="bf16",
                checkpoint_every=100,
            ),
            width=64,
        ),
        synthesis=SynthesisSettings(per_spot=5, guidance=2.0, sampler="fast"),
        prediction=PredictorSettings(
            network="resnet-tiny", folds=3, steps=800, learning_rate=5e-4, precision="bf16"
        ),
    )


def _small() -> RunSettings:
    """Take under an hour on two cores: 48 px patches of a real slide."""
    return RunSettings(
        preset="small",
        central=CentralSettings(
            UNetShape(size=48, widths=(48, 96, 144, 192), layers=1, groups=16),
            NoiseProcess(prediction="v_prediction"),
            TrainSettings(
                steps=1600,
                batch_size=16,
                learning_rate=5e-4,
                schedule="cosine",
                ema_decay=0.998,
                precision="bf16",
                checkpoint_every=100,
            ),
        ),
        adapter=AdapterSettings(
            TrainSettings(
                steps=500,
                batch_size=16,
                learning_rate=1e-3,
                schedule="cosine",
                ema_decay=0.99,
                precision="bf16",
                checkpoint_every=100,
            ),
            width=64,
        ),
        synthesis=SynthesisSettings(per_spot=5, guidance=2.0, sampler="fast"),
        prediction=PredictorSettings(
            network="resnet-tiny", folds=3, steps=600, learning_rate=3e-4, precision="bf16"
        ),
    )


def _base() -> RunSettings:
    """Follow the paper's sizes with what was learnt since; for accelerators.

    Velocity prediction, the power-function average of Karras et al. (CVPR 2024) over a constant
    learning rate, a quarter of the paper's steps, half width. What did not help on a small network
    at equal compute is left out (``docs/central.md``).
    """
    paper = _paper()
    return replace(
        paper,
        preset="base",
        central=CentralSettings(
            paper.central.shape,
            NoiseProcess(prediction="v_prediction"),
            TrainSettings(
                steps=50_000,
                batch_size=256,
                learning_rate=2e-4,
                # The first length is what the model ends with; the second lets any other be made.
                ema_decay=None,
                ema_lengths=(0.05, 0.1),
                ema_snapshots=8,
                precision="bf16",
                checkpoint_every=1000,
            ),
        ),
        synthesis=replace(paper.synthesis, sampler="faithful"),
    )


def _paper() -> RunSettings:
    """Follow the paper (§2.5); for accelerators.

    Each setting is the paper's or says that it is ours, as the paper leaves it open.
    """
    return RunSettings(
        preset="paper",
        # Ours: a lab's own slide is no part of what a central party trains on.
        slide_tissue=False,
        central=CentralSettings(
            # Paper: initial width 64, four scales. Ours: 64 px; widths doubling, as in DDPM; two
            # residual blocks a scale; attention at the coarsest scale only.
            UNetShape(size=64, widths=(64, 128, 256, 512), layers=2, groups=32),
            # Paper: noise prediction, min-SNR γ = 5. Ours: T = 1000, the cosine schedule.
            NoiseProcess(prediction="epsilon", min_snr_gamma=5.0),
            # Paper: 200,000 steps, AdamW, EMA 0.999 at every step, and "batch 256, gradient
            # accumulation 4", which we read as 256 images an update, in four parts if need be.
            # Ours: learning rate 1e-4, constant after a warm-up of 3 % (which the paper has for
            # the local model); AdamW's weight decay of 0.01; gradients clipped at 1; float32.
            TrainSettings(
                steps=200_000,
                batch_size=256,
                learning_rate=1e-4,
                ema_decay=0.999,
                checkpoint_every=1000,
            ),
            # Ours: the paper names no augmentation; turned or mirrored, tissue is as likely.
            dihedral=True,
        ),
        adapter=AdapterSettings(
            TrainSettings(
                steps=10_000,
                batch_size=32 * 8,
                micro_batch=32,
                learning_rate=1e-4,
                ema_decay=0.999,
                checkpoint_every=500,
            ),
            null_probability=0.5,
            components=0,
        ),
        # Ours: images at a time, which an accelerator is for.
        synthesis=SynthesisSettings(per_spot=10, guidance=3.0, sampler="paper", batch_size=128),
        # Ours: counting the predictor's training in steps, where the paper's 200 epochs grow with
        # the data.
        prediction=PredictorSettings(network="resnet-50", steps=4000, learning_rate=1e-4),
        baselines=NETWORKS,
    )


PRESETS = {"tiny": _tiny, "small": _small, "base": _base, "paper": _paper}
