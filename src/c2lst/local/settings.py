"""How a central model is adapted: the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from c2lst.diffusion.film import Null, check_null
from c2lst.diffusion.private import PrivacySettings
from c2lst.diffusion.trainer import TrainSettings
from c2lst.errors import InputError
from c2lst.rules import at_least, hold, one_of, share, whole

Method = Literal["film", "lora"]


@dataclass(frozen=True)
class AdapterSettings:
    """How a central model is adapted.

    Parameters
    ----------
    training
        Steps, batch, rates (paper: 10,000 steps of 32, AdamW, EMA 0.999, 3 % warm-up).
    width
        Width of the gene embedding (open in the paper; ours).
    blocks
        Pattern of the residual blocks to modulate, or several with commas between (open in the
        paper; all by default). Training is quicker without the first ones (``up_blocks.*``).
    null
        Null condition of the guidance (open in the paper): ``learned``, or ``base``, the central
        model itself, which needs no training.
    null_probability
        Share of training images whose genes are replaced by the learned null condition (value
        lost in the paper's text; ours).
    components
        The projection of genes starts at this many principal components of the training spots'
        expression: a few spots can't tell hundreds of noisy genes apart, but they do tell
        programmes apart. 0 starts it at random.
    method
        ``film``, the gene modulation alone (paper), or ``lora``, with low-rank updates of the
        same blocks' weights beside it, for tissue that looks unlike the central model's.
    rank
        Rank of those updates.
    gene_dropout
        Mean share of genes that count as missing in a training image, in [0, 1). Above 0 the
        adapter also learns what it means that a gene is missing.
    early_stop
        Stop when held-out spots (:func:`c2lst.local.pairs.held_out_spots`) are denoised worse,
        and keep the last weights under which they were not.
    stop_tolerance
        How much worse than at best is still not worse, as a share of the loss. Genes tell so
        little of the noise in an image that the loss hardly moves while the adapter learns to
        follow them; 0 stops where it stops falling, which leaks less and follows less
        (``docs/local.md``).
    private
        Train with differential privacy. What looks at spots beside the private gradient is then
        left out: early stopping, and the start at principal components.

    Raises
    ------
    InputError
        If a value is out of range, or low-rank updates are asked for with null ``base``.
    """

    training: TrainSettings
    width: int = 128
    blocks: str = "*"
    null: Null = "learned"
    null_probability: float = 0.2
    components: int = 16
    method: Method = "film"
    rank: int = 4
    gene_dropout: float = 0.0
    early_stop: bool = True
    stop_tolerance: float = 0.005
    private: PrivacySettings | None = None

    def __post_init__(self) -> None:
        if isinstance(self.private, Mapping):  # a table of a TOML file
            object.__setattr__(self, "private", _privacy(self.private))
        hold(
            self,
            "adapter settings",
            width=whole(1),
            null_probability=share(none=False, all_=False),
            components=whole(),
            method=one_of(Method),
            rank=whole(1),
            gene_dropout=share(all_=False),
            stop_tolerance=at_least(0),
        )
        check_null(self.null, self.network_config(1)["rank"])

    def network_config(self, n_genes: int) -> dict[str, Any]:
        """Return what :class:`~c2lst.diffusion.film.GeneModulatedUNet` is made with."""
        return {
            "n_genes": n_genes,
            "width": self.width,
            "blocks": self.blocks,
            "null": self.null,
            "missing_mask": self.gene_dropout > 0,
            "rank": self.rank if self.method == "lora" else 0,
        }


def _privacy(table: Mapping[str, Any]) -> PrivacySettings:
    try:
        return PrivacySettings(**table)
    except TypeError as error:
        raise InputError(
            "adapter settings",
            "private",
            found=dict(table),
            expected="numbers: epsilon, and delta and clip if need be",
        ) from error
