"""Image encoders for comparing sets of patches, each labelled with what its features are."""

from c2lst.evaluation.encoders.cache import CachedEncoder
from c2lst.evaluation.encoders.offline import ImageNetEncoder, RandomEncoder
from c2lst.evaluation.encoders.protocol import ImageEncoder
from c2lst.evaluation.encoders.registry import ENCODERS, get_encoder
from c2lst.evaluation.encoders.specs import PUBLISHED, EncoderSpec

__all__ = [
    "ENCODERS",
    "PUBLISHED",
    "CachedEncoder",
    "EncoderSpec",
    "ImageEncoder",
    "ImageNetEncoder",
    "RandomEncoder",
    "get_encoder",
]
