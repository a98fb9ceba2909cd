"""What a method has to beat: predict unsampled spots of a slide as anyone would try first.

Constants, neighbours and kriging look at coordinates alone; ridge regression looks at features of
a frozen encoder, which come in as an array. Networks trained on real spots only (ResNet-50,
DenseNet-121 as in ST-Net) are the twins of co-training: :mod:`c2lst.prediction.cotraining`.
"""

from c2lst.prediction.baselines.registry import (
    REGISTRY,
    Baseline,
    baselines_for,
    leave_one_out,
)

__all__ = ["REGISTRY", "Baseline", "baselines_for", "leave_one_out"]
