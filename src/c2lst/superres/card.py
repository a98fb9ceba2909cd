"""The card that lies beside a super-resolution model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from c2lst.superres.settings import SuperresSettings


def model_card(about: Mapping[str, Any], bin_um: float) -> str:
    """Write the card of a model, Markdown, from what ``superres.json`` holds."""
    settings, provenance = about["settings"], about["provenance"]
    parts = settings["components"]
    differs = SuperresSettings.from_dict(settings).interpolates
    asked = "what bins differ by from interpolated spots" if differs else "the bins themselves"
    left_out = [name for name, there in parts.items() if not there]
    held_out = provenance.get("held_out") or ["none"]
    genes = about["genes"]
    return f"""# A super-resolution model of expression maps

From spots of {about["lr_um"]:g} µm ({about["sampling"]}) and the H&E image to bins of
{bin_um:g} µm, by the method of Diff-ST (arXiv 2404.12973), trained by c2lst {about["c2lst"]}.

- Genes: {len(genes)}, from {genes[0]} to {genes[-1]}.
- Trained on: {provenance.get("maps", {}).get("kind", "maps")},
  patients {", ".join(about["patients"])}; held out: {", ".join(held_out)}.
- Parameters: {provenance.get("parameters", 0) / 1e6:.2f} M.
- Updates: {settings["training"]["steps"]}.
- Components left out: {", ".join(left_out) or "none"}.
- Normalisation: {settings["normalisation"]}; the network is asked for {asked}.

It knows tissue, stain and assay of those patients alone. Spots of another assay have other counts
for the same tissue, and nothing here corrects for that. Bins are an informed guess at what lies
within a spot: use the standard deviation, and no map of one sample as a measurement.

```
c2lst superres predict THIS SECTION -o OUT.h5ad --samples 8
```
"""
