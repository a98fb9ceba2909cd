"""The card of an adapter: what it is, how to use it, and where it may be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def adapter_card(config: Mapping[str, Any], genes: int) -> str:
    """Return the ``README.md`` of an adapter.

    Parameters
    ----------
    config
        Its configuration, as in ``adapter_config.json``.
    genes
        Size of its panel.
    """
    base = f"`{str(config['base_hash'])[:12]}`"
    if config.get("base_name"):
        base = f"{config['base_name']} ({base})"
    return f"""---
library_name: c2lst
tags: [histology, spatial-transcriptomics, diffusion, adapter]
---
# Gene-conditioned adapter for {config["section"]}

Lets the central model {base} draw H&E patches for an expression profile of {genes} genes:
{config["size"]} px, {config["patch_um"]:g} µm wide. Made by c2lst {config["c2lst"]}; it holds
{config.get("parameters", 0):,} weights, and none of the central model's.

## Use

```
c2lst synthesize ADAPTER -o SYNTHETIC --per-spot 5                  # for the training spots
c2lst synthesize ADAPTER -o SYNTHETIC --profiles counts.csv         # for profiles of your own
```

```python
from c2lst import CentralModel, LocalModel

local = LocalModel.load("ADAPTER", CentralModel.load("CENTRAL"))
```

It is loaded only onto the central model whose weights it names. Profiles are raw counts; they are
normalised and scaled by the statistics in `preprocessing.json`, which holds the genes in order.

## Data

Trained on {config["training_spots"]} paired spots of section {config["section"]}, and on no other
spot. {_stopped(config)}`adapter_config.json` names them by hash and lists all settings.

## Privacy

It was trained on patient data of one institution. **No privacy audit has been run on it**: keep it
where the data may be kept, until `c2lst export` has audited it. `sources.json` holds paths of the
machine that made it.
"""


def _stopped(config: Mapping[str, Any]) -> str:
    """Say how many of the spots decided when to stop, and what came of it."""
    stopped = config.get("early_stop")
    if not stopped:
        return ""
    change = stopped["loss_kept"] / stopped["loss_at_start"] - 1
    return (
        f"Of these, {stopped['held_out_spots']} were not learnt from and decided when to stop: the "
        f"weights of step {stopped['kept_step']:,} changed their denoising loss by {change:+.1%}. "
    )
