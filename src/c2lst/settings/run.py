"""Everything that shapes the result of a run, apart from its input."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from c2lst.central import CentralSettings
from c2lst.data.split import SCHEMES, Scheme
from c2lst.diffusion.trainer import TrainSettings
from c2lst.local import AdapterSettings, SynthesisSettings
from c2lst.prediction.network_baselines import once_each
from c2lst.prediction.options import PredictorSettings
from c2lst.rules import above, at_least, hold, one_of, share, whole

Advise = Literal["quick", "full"]


@dataclass(frozen=True)
class RunSettings:
    """Everything that shapes the result of a run, apart from its input.

    Parameters
    ----------
    preset
        Name of the preset that the rest started from.
    seed
        One seed for split, training, synthesis and evaluation.
    fraction, scheme
        Share of spots that are sequenced and how they are chosen
        (:class:`~c2lst.data.split.SpotSplit`).
    genes
        Size of the panel: the genes of highest mean in the training spots (paper: 250).
    patch_um
        Side of a patch in µm (paper: 112).
    slide_tissue
        Whether a central model that is pretrained in the run on a collection also sees the
        slide's own unlabelled tissue outside the test spots. Such a model is the lab's own: it
        has seen the slide.
    slide_steps
        Updates by which a central model that is given goes on with that tissue before it is
        adapted; 0 adapts it as it is (paper).
    advise
        How the predictor is chosen inside the training spots: ``quick`` between those that are
        trained anyway, ``full`` also between ratios of synthetic to real pairs
        (:func:`~c2lst.prediction.advised.fit_advised`).
    pitch_um
        Distance between the places of the map between the spots, µm. 0 leaves that map out, but
        where every spot is sequenced (scheme ``all``) it means half the pitch of the array.
    baselines
        Networks of the field that are trained as baselines, on real pairs alone, beside those that
        are no networks: of :data:`~c2lst.prediction.network_baselines.NETWORKS`. They take long
        without an accelerator, and may be added to a run that is there.
    central, adapter, synthesis, prediction
        Settings of the stages.
    """

    preset: str
    central: CentralSettings
    adapter: AdapterSettings
    synthesis: SynthesisSettings
    prediction: PredictorSettings
    seed: int = 0
    fraction: float = 0.25
    scheme: Scheme = "random"
    genes: int = 250
    patch_um: float = 112.0
    slide_tissue: bool = True
    slide_steps: int = 0
    advise: Advise = "quick"
    pitch_um: float = 0.0
    baselines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        hold(
            self,
            "settings",
            seed=whole(),
            fraction=share(none=False, all_=False),
            scheme=one_of(SCHEMES),
            genes=whole(2),
            patch_um=above(0),
            slide_steps=whole(),
            advise=one_of(Advise),
            pitch_um=at_least(0),
        )
        object.__setattr__(self, "baselines", once_each(self.baselines, "settings"))

    def seeded(self) -> RunSettings:
        """Give the seed of the run to every stage."""

        def with_seed(training: TrainSettings) -> TrainSettings:
            return dataclasses.replace(training, seed=self.seed)

        return dataclasses.replace(
            self,
            central=dataclasses.replace(self.central, training=with_seed(self.central.training)),
            adapter=dataclasses.replace(self.adapter, training=with_seed(self.adapter.training)),
            synthesis=dataclasses.replace(self.synthesis, seed=self.seed),
            prediction=dataclasses.replace(self.prediction, seed=self.seed),
        )
