"""Stain: what a slide's H&E looks like, how to bring images to another slide's, how to vary it.

One :class:`StainReference` describes the same tissue in two ways: by its stains (Macenko et al.,
ISBI 2009), which take a slide to estimate, and by its colour in CIELAB (Reinhard et al., 2001),
which takes a patch. Patches of a known slide are normalised by stain, patches of unknown slides
are recoloured one by one, and both end up at the same reference.

Vahadane's sparse factorisation is left out: no maintained library that we could depend on has it.
"""

from c2lst.data.stain.jitter import StainJitter
from c2lst.data.stain.normalise import StainNormaliser
from c2lst.data.stain.patchwise import PatchNormaliser
from c2lst.data.stain.reference import StainReference, even_rows

__all__ = ["PatchNormaliser", "StainJitter", "StainNormaliser", "StainReference", "even_rows"]
