"""The directive `picture`: a Graphviz file of pictures/ as SVG inside the page, in the colours of the page's theme.

    ```{picture} caches
    What the picture shows, for those who cannot see it.
    ```
"""

import html
import pathlib
import re
import subprocess

from docutils import nodes
from docutils.parsers.rst import Directive

COLORS = {"black": "var(--color-foreground-primary)", "white": "var(--color-background-primary)",
          "lightgrey": "var(--color-background-secondary)", "grey": "var(--color-foreground-muted)",
          "blue": "var(--color-brand-content)"}


class Picture(Directive):
    required_arguments = 1
    has_content = True

    def run(self):
        environment = self.state.document.settings.env
        path = pathlib.Path(environment.srcdir) / "pictures" / f"{self.arguments[0]}.dot"
        environment.note_dependency(str(path))
        if not self.content or not path.is_file():
            raise self.error(f"{path} does not exist, or has no description here")
        svg = subprocess.run(["dot", "-Tsvg", str(path)], check=True, capture_output=True, text=True).stdout
        svg = svg[svg.index("<svg"):]
        svg = re.sub(r"<title>.*?</title>\n?|<!--.*?-->\n?", "", svg, flags=re.S)
        svg = re.sub(r'(stroke|fill)="(\w+)"', lambda m: f'{m[1]}="{COLORS.get(m[2], m[2])}"', svg)
        svg = re.sub(r"<text (?![^>]*fill=)", f'<text fill="{COLORS["black"]}" ', svg)
        label = html.escape(" ".join(self.content), quote=True)
        svg = svg.replace("<svg", f'<svg class="picture" role="img" aria-label="{label}"', 1)
        return [nodes.raw("", f'<div class="picture-frame">\n{svg}</div>\n', format="html")]


def setup(app):
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True}
