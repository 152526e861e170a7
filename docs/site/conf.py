"""Settings of Sphinx. build.sh sets CLERK_ROOT, the repository, and CLERK_XML, the folder of Doxygen's output."""

import os
import pathlib
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))

project = "clerk-auth"
author = "the clerk-auth developers"
project_copyright = author
version = release = re.search(r'^version = "(.+)"', (pathlib.Path(os.environ["CLERK_ROOT"]) / "Cargo.toml").read_text(), re.M)[1]
extensions = ["myst_parser", "breathe", "picture"]
source_suffix = {".md": "markdown"}

# Sections have the anchors that GitHub gives them.
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "attrs_inline"]
highlight_language = "none"
# Guides of the bindings leave out parts of a program with an ellipsis.
suppress_warnings = ["misc.highlighting_failure"]
nitpicky = True
# Types of other headers.
nitpick_ignore_regex = [("c:identifier", r"u?int\d+_t|size_t"), ("cpp:identifier", r".*")]

breathe_projects = {name: os.path.join(os.environ["CLERK_XML"], name, "xml") for name in ("c", "cpp")}
breathe_default_project = "c"
breathe_domain_by_extension = {"h": "c", "hpp": "cpp"}
breathe_show_include = False

html_theme = "furo"
html_title = f"clerk-auth {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
# Pages that are opened as files cannot load others for the summary of a result.
html_show_search_summary = False
