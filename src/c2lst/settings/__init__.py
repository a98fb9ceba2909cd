"""Settings of a whole run: presets, and what a file or the command line changes in them."""

from c2lst.settings.loading import load_settings
from c2lst.settings.presets import PRESETS
from c2lst.settings.run import RunSettings

__all__ = ["PRESETS", "RunSettings", "load_settings"]
