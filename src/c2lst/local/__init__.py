"""The local model: a central model that a few paired spots have taught to listen to genes.

Paper §2.2: the central weights are frozen; a projection of the expression vector and its maps to
scale and shift of the residual blocks are all that trains.
"""

from c2lst.local.adaptation import AdapterSettings as AdapterSettings
from c2lst.local.model import LocalModel as LocalModel
from c2lst.local.synthesis import SynthesisSettings as SynthesisSettings
