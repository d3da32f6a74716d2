"""How Sphinx builds the documentation."""

from importlib.metadata import version as _version

project = "rjob"
author = "rjob developers"
copyright = "2026, rjob developers"
release = version = _version("rjob-cli")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

# Google docstrings; types stand in the signatures.
napoleon_numpy_docstring = False
autodoc_typehints = "signature"
autodoc_member_order = "bysource"

html_theme = "furo"
html_title = f"rjob {release}"
