"""Collects the pages of the site in one folder: `assemble.py DESTINATION GENERATED XML`.

The site's own pages are below docs/site; other documents of the repository become pages where PAGES says. Links between files of the
repository become links between pages. A linked file that is no page gets one that shows its source, so that every link works without
network. GENERATED is a folder of pages that other programs have written, XML that of Doxygen's output.
"""

import itertools
import os
import pathlib
import re
import shutil
import sys
import textwrap
from xml.etree import ElementTree

import header_filter

SITE = pathlib.Path(__file__).resolve().parent
ROOT = SITE.parent.parent

# Document of the repository -> page.
PAGES = {
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "SECURITY.md": "project/vulnerabilities.md",
    "examples/README.md": "start/examples.md",
    "bindings/README.md": "reference/bindings.md",
    "bindings/cpp/README.md": "start/cpp-guide.md",
    "bindings/go/README.md": "start/go-guide.md",
    "bindings/node/README.md": "start/node-guide.md",
    "bindings/nginx/README.md": "start/nginx-guide.md",
    "bindings/apache/README.md": "start/apache-guide.md",
    "docs/handshake.md": "tasks/handshake.md",
    "docs/sqlite.md": "tasks/sqlite.md",
    "docs/databases.md": "tasks/databases.md",
    "docs/scaling.md": "tasks/scaling.md",
    "docs/migrating.md": "project/migrating.md",
    "docs/differences-from-django-clerk-sdk.md": "project/differences-from-django-clerk-sdk.md",
    "docs/security.md": "project/security.md",
    "docs/performance.md": "project/performance.md",
    "docs/reliability.md": "project/reliability.md",
    "docs/releasing.md": "project/releasing.md",
    "docs/glossary.md": "reference/glossary.md",
}
# The parts of README.md that are pages; any other link to it leads to the first page.
README = {"": "index.md", "#settings": "reference/settings.md"}
LANGUAGES = {".c": "c", ".h": "c", ".cpp": "cpp", ".hpp": "cpp", ".go": "go", ".mjs": "js", ".rs": "rust", ".sh": "sh",
             ".conf": "text", ".toml": "toml"}
# The head of a page that is in no table of contents, and not searched.
ORPHAN = "---\norphan: true\nnosearch: true\n---\n"
LINK = re.compile(r"(\]\()([^)\s]+)(\))")
FENCE = re.compile(r"^( *)(`{3,}).*?^\1\2 *$", re.M | re.S)
INCLUDE = re.compile(r"^(`{3,}\{(?:literalinclude|include)\} )(\S+)$", re.M)


class Site:
    def __init__(self, destination):
        self.destination = destination
        self.sources = {}
        # Page of each document, by its path in the repository.
        self.pages = dict(PAGES)
        for path in SITE.rglob("*.md"):
            self.pages[path.relative_to(ROOT).as_posix()] = path.relative_to(SITE).as_posix()

    def source_page(self, path):
        """The page that shows a file, or the files of a folder."""
        if path not in self.sources:
            self.sources[path] = f"source/{path}/index.md" if (ROOT / path).is_dir() else f"source/{path}.md"
        return self.sources[path]

    def target(self, document, link):
        """The page and the anchor that a link of a document leads to."""
        path, hash_sign, anchor = link.partition("#")
        path = os.path.relpath(os.path.join(os.path.dirname(document), path)) if path else document
        anchor = hash_sign + anchor
        if path == "README.md":
            assert anchor in README, f"{document}: no page has README.md{anchor}"
            return README[anchor], ""
        if path == ".":
            return "index.md", ""
        if path.startswith("docs/site/static/"):
            return os.path.relpath(path, SITE.relative_to(ROOT)), ""
        readme = os.path.join(path, "README.md")
        if readme in self.pages:
            path = readme
        if path in self.pages:
            return self.pages[path], anchor
        assert (ROOT / path).exists(), f"{document}: {link} does not exist"
        return self.source_page(path), ""

    def rewritten(self, document, page, text):
        """The text of a document, with the links of its page. Links in code stay."""
        folder = os.path.dirname(page)

        def link(match):
            if re.match(r"[a-z]+:|#", match[2]):
                return match[0]
            to, anchor = self.target(document, match[2])
            return f"{match[1]}{os.path.relpath(to, folder or '.')}{anchor}{match[3]}"

        def include(match):
            assert (ROOT / match[2]).is_file(), f"{document} includes {match[2]}, which does not exist"
            return match[1] + os.path.relpath(ROOT / match[2], (self.destination / page).parent)

        parts, end = [], 0
        for fence in FENCE.finditer(text):
            parts += [LINK.sub(link, text[end:fence.start()]), INCLUDE.sub(include, fence[0])]
            end = fence.end()
        return "".join(parts) + LINK.sub(link, text[end:])

    def write(self, page, text):
        path = self.destination / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def write_pages(self):
        for document, page in self.pages.items():
            self.write(page, self.rewritten(document, page, (ROOT / document).read_text(encoding="utf-8")))

    def write_sources(self):
        for path, page in self.sources.items():
            lines = [ORPHAN, f"# {path}", ""]
            if (ROOT / path).is_dir():
                for file in sorted(p for p in (ROOT / path).iterdir() if p.is_file()):
                    name = f"source/{path}/{file.name}.md"
                    lines.append(f"* [{file.name}]({file.name}.md)")
                    self.write(name, self.listing(f"{path}/{file.name}", name))
            self.write(page, "\n".join(lines) + "\n" if (ROOT / path).is_dir() else self.listing(path, page))

    def listing(self, path, page):
        language = LANGUAGES.get(os.path.splitext(path)[1], "text")
        file = os.path.relpath(ROOT / path, (self.destination / page).parent)
        fence = f"```{{literalinclude}} {file}\n:language: {language}\n```"
        return f"{ORPHAN}\n# {path}\n\n{fence}\n"

    def write_header_pages(self):
        """One page for each section of the C header."""
        sections = header_filter.sections((ROOT / "include/clerk_auth.h").read_text(encoding="utf-8"))
        for name, comment in sections:
            slug = name.lower().replace(" ", "-")
            lines = [line.removeprefix(" *").removeprefix(" ") for line in comment.splitlines()]
            head = "\n".join(lines)
            # Indented lines are an example.
            head = re.sub(r"(?:^(?:    .*)?\n)*^    .+$", lambda m: "\n```c\n" + textwrap.dedent(m[0]).strip("\n") + "\n```", head, flags=re.M)
            body = f"```{{doxygengroup}} {header_filter.group(name)}\n:project: c\n:content-only:\n:members:\n```"
            self.write(f"reference/c/{slug}.md", f"# C: {name}\n\n{head}\n\n{body}\n")

    def write_cpp_pages(self, xml):
        """One page for each class of namespace clerk, and one for the rest."""
        index = ElementTree.parse(xml / "index.xml").getroot()
        names = {compound.findtext("name"): compound for compound in index if compound.get("kind") in ("class", "struct", "namespace")}
        classes = [name for name in names if re.fullmatch(r"clerk::(testing::)?\w+", name) and names[name].get("kind") != "namespace"]
        for name in classes:
            kind = {"class": "doxygenclass", "struct": "doxygenstruct"}[names[name].get("kind")]
            short = name.removeprefix("clerk::")
            page = f"reference/cpp/{short.replace('::', '-').lower()}.md"
            self.write(page, f"# C++: {short}\n\n```{{{kind}}} {name}\n:project: cpp\n:members:\n```\n")
        members = [(member.get("kind"), member.findtext("name")) for member in names["clerk"].findall("member")]
        enumerations = [f"```{{doxygenenum}} clerk::{name}\n:project: cpp\n```" for kind, name in members if kind == "enum"]
        self.write("reference/cpp/enumerations.md", "\n\n".join(["# C++: Enumerations", *enumerations]) + "\n")
        parts = ["# C++: Functions"]
        functions = ElementTree.parse(xml / f"{names['clerk'].get('refid')}.xml").iterfind(".//memberdef[@kind='function']")
        for header, group in itertools.groupby(functions, lambda f: os.path.basename(f.find("location").get("file"))):
            if header in ("enums.hpp", "beast.hpp", "httplib.hpp"):
                parts += [f"## clerk_auth/{header}", *map(cpp_function, group)]
        self.write("reference/cpp/functions.md", "\n\n".join(parts) + "\n")


def cpp_function(function):
    """The entry of a function that is in no class."""
    def words(element):
        return " ".join("".join(element.itertext()).split()) if element is not None else ""

    parameters = ", ".join(" ".join(filter(None, map(words, (p.find("type"), p.find("declname"))))) for p in
                           function.iterfind("templateparamlist/param"))
    template = f"template<{parameters}> " if parameters else ""
    described = " ".join(filter(None, (words(function.find(part)) for part in ("briefdescription", "detaileddescription"))))
    return f"```{{cpp:function}} {template}{function.findtext('definition')}{function.findtext('argsstring')}\n\n{described}\n```"


def main(destination, generated, xml):
    destination = pathlib.Path(destination).resolve()
    shutil.rmtree(destination, ignore_errors=True)
    os.chdir(ROOT)
    site = Site(destination)
    site.write_pages()
    site.write_sources()
    site.write_header_pages()
    site.write_cpp_pages(pathlib.Path(xml) / "cpp/xml")
    shutil.copytree(generated, destination / "reference", dirs_exist_ok=True)
    for name in ("conf.py", "picture.py"):
        shutil.copy(SITE / name, destination)
    for name in ("static", "pictures"):
        shutil.copytree(SITE / name, destination / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
