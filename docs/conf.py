"""How Sphinx builds the documentation."""

from importlib.metadata import version as _version
from typing import Any

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

_ATTRIBUTES: dict[str, list[str]] = {}


def _keep(_app: object, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    if what in ("attribute", "property"):
        _ATTRIBUTES[name] = [line for line in lines if not line.startswith("Alias for field number")]


def _restore(_app: object, what: str, name: str, _thing: object, _options: object, lines: list[str]) -> None:
    # Napoleon takes what stands before a colon in an attribute's text for its type, which ours never say.
    if what in ("attribute", "property"):
        lines[:] = _ATTRIBUTES[name]


def setup(app: Any) -> None:
    app.connect("autodoc-process-docstring", _keep, priority=100)
    app.connect("autodoc-process-docstring", _restore, priority=900)
