"""Where to sample: which spots of a slide are worth sequencing, or sequencing next."""

from c2lst.planning.plan import SamplingPlan as SamplingPlan
from c2lst.planning.plan import plan_spots as plan_spots
