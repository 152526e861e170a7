"""Every link inside the site leads to a file and an anchor of it, nothing is loaded from elsewhere, every C function has an entry."""

import html.parser
import pathlib
import re
import tempfile
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "build/site"
# Elements that load what they name.
LOADING = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("object", "data"), ("link", "href")}


class Page(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.anchors, self.links, self.loaded = {"", "top"}, [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        for name in ("href", "src", "data"):
            if given.get(name):
                self.links.append(given[name])
                if (tag, name) in LOADING and given.get("rel") not in ("canonical", "alternate"):
                    self.loaded.append(given[name])


def is_external(link):
    return re.match(r"[a-z][a-z0-9+.-]*:", link, re.I) is not None or link.startswith("//")


def is_well_formed(link):
    parts = urllib.parse.urlsplit(link)
    return parts.scheme in ("https", "http") and "." in (parts.hostname or "") and " " not in link


def problems_of(path, page, pages, own):
    for link in page.loaded:
        if is_external(link) and not link.startswith("data:"):
            yield f"loads {link}"
    for link in page.links:
        if link.startswith(("data:", "javascript:")):
            continue
        if is_external(link):
            # TypeDoc and rustdoc write links of their own.
            # Doxygen makes a link of the scheme alone in `https://<frontend API>/…`.
            if own and link != "https://" and not is_well_formed(link):
                yield f"is no URL: {link}"
            continue
        parts = urllib.parse.urlsplit(link)
        target = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
        if not target.is_file():
            if not own and link in page.loaded:
                continue  # rustdoc names scripts for traits that have no implementors
            yield f"{link} does not exist"
        elif target.suffix == ".html" and own and urllib.parse.unquote(parts.fragment) not in pages[target].anchors:
            yield f"{link}: there is no such anchor"


def functions_without_entry(pages):
    names = (ROOT / "tests/abi/symbols.txt").read_text().split()
    assert len(names) > 80, names
    described = set().union(*(page.anchors for path, page in pages.items() if path.parent == SITE / "reference/c"))
    return [name for name in names if f"c.{name}" not in described]


def check_planted():
    """Broken links and loaded files are found."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "planted.html").resolve()
        path.write_text('<p id="here"><a href="#here"></a><a href="#there"></a><a href="gone.html"></a><a href="https://nowhere"></a>'
                        '<script src="https://cdn.example.com/x.js"></script><link rel="stylesheet" href="//fonts.example.com/f.css">')
        page = Page(path)
        found = list(problems_of(path, page, {path: page}, True))
    expected = ["loads https://cdn", "loads //fonts", "#there", "gone.html does not", "is no URL: https://nowhere"]
    assert all(any(part in problem for problem in found) for part in expected) and len(found) == 6, found


def run():
    check_planted()
    pages = {path: Page(path) for path in SITE.rglob("*.html")}
    assert len(pages) > 60, len(pages)
    found = []
    for path, page in pages.items():
        own = path.relative_to(SITE).parts[0] not in ("node", "rust")
        found += [f"{path.relative_to(SITE)}: {problem}" for problem in problems_of(path, page, pages, own)]
    found += [f"reference/c: no entry for {name}" for name in functions_without_entry(pages)]
    for path in SITE.rglob("*.css"):
        found += [f"{path.relative_to(SITE)}: loads {url}" for url in re.findall(r"url\(['\"]?((?:https?:)?//[^)]+)\)", path.read_text())]
    assert not found, "\n".join(found)
    return f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links"
