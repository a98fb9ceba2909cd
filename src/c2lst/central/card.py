"""The model card of a central model: what it is, what it was trained on, how good, for what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from c2lst import __version__
from c2lst.evaluation.distribution import KernelDistance

if TYPE_CHECKING:
    from c2lst.central import CentralModel

SHEET = "samples.png"

# Of the names that the hub accepts, those that data are shared under; all else is "other".
_LICENCES = {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"}
_LICENCES |= {"cc-by-nd-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0"}
_TARGETS = {"epsilon": "the noise ε", "v_prediction": "the velocity v = αε - σx₀"}


def model_card(model: CentralModel, *, sheet: bool = False) -> str:
    """Write the card of a central model, Markdown with the hub's front matter.

    Parameters
    ----------
    model
        The model, with its provenance.
    sheet
        Whether a picture of samples is beside the card.
    """
    trainings = list(_trainings(model.provenance))
    picture = f"![Samples]({SHEET})\n\nSamples, not chosen by hand.\n\n" if sheet else ""
    return f"""{_front_matter([_licence(training) for training in trainings])}
# A central model of H&E tissue

An unconditional diffusion model of {model.size} px H&E patches of {model.patch_um:g} µm, trained by
[c2lst](https://arxiv.org/abs/2603.26827) {__version__}. Laboratories adapt it to a slide of theirs
with a few spots of gene expression, without sending anything out.

{picture}## Use

```python
from diffusers import DDPMPipeline

DDPMPipeline.from_pretrained("this folder or repository")(batch_size=4).images
```

```
c2lst sample THIS -n 64 -o samples.png
c2lst run SLIDE -o RUN --central THIS
```

## Trained on

{_data(trainings)}
## How

{_training(model)}
{_recipe(model.provenance.get("recipe"))}## How good

{_metrics(model.provenance)}
## Intended use and limits

- A prior for gene-conditioned adaptation in research, and an encoder of H&E patches.
- Its images are synthetic: they are no patient's, and are not for diagnosis, nor evidence of what
  any tissue looks like.
- It knows patches of {model.patch_um:g} µm in one stain (`stain_reference.json`), of the organs
  and laboratories of its training patches. Patches of a slide have to be brought to that stain,
  as c2lst does.
- Diffusion models can repeat training images. Publishing does not look for that
  (`benchmarks/copies.py` does); models that a laboratory adapts from it are audited before they
  leave.
- The licence of the training patches applies to what may be done with it.

Weights: SHA-256 `{model.hash}`
"""


def _trainings(provenance: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the provenance of each training, from the last to the first that it goes back to."""
    yield provenance
    if "started_from" in provenance:
        yield from _trainings(provenance["started_from"]["provenance"])


def _licence(training: dict[str, Any]) -> str | None:
    licence: str | None = training.get("patches", {}).get("licence")
    return licence


def _front_matter(licences: list[str | None]) -> str:
    lines = ["library_name: diffusers", "pipeline_tag: unconditional-image-generation"]
    known_ones = sorted({licence for licence in licences if licence})
    if known_ones:
        # Trained on patches of several licences, a model is under the terms of all.
        licence = " and ".join(known_ones)
        name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-")
        known = name in _LICENCES
        lines += [f"license: {name}"] if known else ["license: other", f"license_name: {name}"]
    lines += ["tags: [histology, diffusion, spatial-transcriptomics, c2lst]"]
    return "\n".join(["---", *lines, "---"])


def _data(trainings: list[dict[str, Any]]) -> str:
    parts = []
    for training in trainings:
        patches = training.get("patches", {})
        scale_known = patches.get("patch_um", True)
        parts.append(
            _items(
                {
                    "Source": patches.get("source", "unknown"),
                    "Patches": patches.get("patches", "unknown"),
                    "Scale": None
                    if scale_known
                    else "µm/px are not known; the side that is told above is taken for granted",
                    "Licence": patches.get("licence") or "unknown: ask those who made the patches",
                    "Content, SHA-256": patches.get("content_hash"),
                }
            )
        )
    return "\nbefore that, on\n\n".join(parts)


def _training(model: CentralModel) -> str:
    process, settings = model.process, model.provenance.get("settings", {})
    training, shape = settings.get("training", {}), settings.get("shape", {})
    parameters = sum(p.numel() for p in model.unet.parameters())
    weight = "min(SNR + 1, γ)" if process.weight == "min_snr_plus_one" else "min(SNR, γ)"
    return _items(
        {
            "Preset": model.provenance.get("preset"),
            "Network": f"U-Net of {parameters / 1e6:.3g} M parameters, widths "
            f"{shape.get('widths', list(model.unet.config.block_out_channels))}",
            "Noise": f"{process.steps} levels, {process.schedule}"
            + (", rescaled to zero terminal SNR" if process.zero_snr else ""),
            "Predicts": _TARGETS[process.prediction],
            "Loss weight on the image": f"{weight}, γ = {process.min_snr_gamma:g}",
            "Optimiser steps": training.get("steps"),
            "Images per step": training.get("batch_size"),
            "AdamW": f"learning rate {training['learning_rate']:g}, {training['schedule']}"
            if training
            else None,
            "Averaged weights": _average(training),
            "Augmentation": _augmentation(settings),
            "Final loss": model.provenance.get("final_loss"),
            "Stored": "at 16 bit, rounded once after the training; used at 32 bit"
            if "rounded" in model.provenance
            else None,
        }
    )


def _average(training: dict[str, Any]) -> str | None:
    if training.get("ema_decay"):
        return f"exponentially, decay {training['ema_decay']:g}"
    if training.get("ema_lengths"):
        return f"by a power function, relative length {training['ema_lengths'][0]:g}"
    return "none" if training else None


def _augmentation(settings: dict[str, Any]) -> str | None:
    if "dihedral" not in settings:
        return None
    jitter = settings.get("stain_jitter")
    parts = ["turns and mirrors"] if settings["dihedral"] else []
    parts += [f"stain jitter {jitter:g}"] if jitter else []
    if windows := settings.get("windows"):
        parts += [f"windows of half the side in {windows:.0%} of the steps"]
    return ", ".join(parts) or "none"


def _recipe(commands: str | None) -> str:
    return f"```\n{commands.strip()}\n```\n\n" if commands else ""


def _metrics(provenance: dict[str, Any]) -> str:
    watched = provenance.get("watched", {})
    if "kernel_distance" not in watched:
        return "Not measured: the collection held no patches out.\n"
    distance, floor = (
        KernelDistance(**watched[name]) for name in ("kernel_distance", "real_vs_real")
    )
    return _items(
        {
            "Kernel distance of samples to held-out patches": distance,
            "Floor: real training patches to the same": floor,
            "On": f"{watched['features']}, {distance.n[0]} samples ({watched['sampler']}), "
            f"{distance.n[1]} held-out patches; 95 % intervals"
            + ("; before the weights were rounded" if "rounded" in provenance else ""),
        }
    )


def _items(values: dict[str, Any]) -> str:
    return "".join(f"- {name}: {value}\n" for name, value in values.items() if value is not None)
