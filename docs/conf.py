"""How the documentation is built: ``sphinx-build -W docs site``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))
# Help texts are laid out for a terminal of this width, whatever the one that builds.
os.environ["COLUMNS"] = "100"

import c2lst

project = "c2lst"
author = "the authors of c2lst"
release = version = c2lst.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_line",
]
exclude_patterns = ["_ext", "figures/*.py"]

html_theme = "sphinx_book_theme"
html_title = "c2lst"
html_show_copyright = False
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "navbar_persistent": [],  # the search is in the side bar
}

# As GitHub shows the same pages: headings are link targets.
myst_heading_anchors = 3
# The notebook is stored executed; a test runs its code.
nb_execution_mode = "off"

# Two dashes are an option, not a dash.
smartquotes = False

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
napoleon_google_docstring = False
napoleon_use_rtype = False
copybutton_prompt_text = "$ "
