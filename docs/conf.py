"""
How Sphinx makes the site from these pages: `make docs`.

Lives here: settings only. Does not: a list of pages; docs/index.md takes each page of a folder,
so a new one needs no edit.
"""

from __future__ import annotations

import metaproxy

project = "metaproxy"
author = "metaproxy contributors"
copyright = "metaproxy contributors, Apache-2.0"
version = release = metaproxy.__version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
highlight_language = "none"  # diagrams and sessions of a terminal are in no language
suppress_warnings = ["misc.highlighting_failure"]  # a sample may use ${VARIABLES} or `...`, which no lexer knows
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

html_theme = "furo"
html_title = f"metaproxy {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_extra_path = ["reference/config.schema.json"]
