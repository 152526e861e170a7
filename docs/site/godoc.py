"""Writes the pages of the Go reference from `go doc -all`: `godoc.py DESTINATION`.

Lines without indentation are declarations or headings; those with four spaces are the documentation of the declaration before them.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Folder of the package below bindings/go -> title and page.
PACKAGES = {".": ("clerkauth", "go-clerkauth.md"), "sqlstore": ("clerkauth/sqlstore", "go-sqlstore.md"),
            "clerktest": ("clerkauth/clerktest", "go-clerktest.md"), "storetest": ("clerkauth/storetest", "go-storetest.md")}
NAME = re.compile(r"(?:func (?:\([^)]*?\*?(\w+)(?:\[\w+\])?\) )?(\w+)|type (\w+)|(?:var|const) (\w+))")


def blocks(lines):
    """Pairs of a kind (`heading`, `code`, `prose`) and lines."""
    kind, block, depth = None, [], 0
    for line in lines:
        if depth == 0 and line and not line.startswith((" ", "\t")):
            here = "heading" if line.isupper() and line.isalpha() else "code"
        elif depth == 0 and line.startswith("    "):
            here = "prose"
        else:
            here = kind
        if here == "code":
            depth += line.count("{") + line.count("(") - line.count("}") - line.count(")")
        starts = here == "code" and NAME.match(line)
        if (here != kind or starts) and block:
            yield kind, block
            block = []
        kind = here
        block.append(line)
    if block:
        yield kind, block


def prose(lines):
    """Markdown of a documentation comment: paragraphs, lists and indented code."""
    lines = [line[4:] for line in lines]
    found = []
    for paragraph in re.split(r"\n\s*\n", "\n".join(lines).strip("\n")):
        if all(line.startswith("    ") or not line for line in paragraph.split("\n")):
            found.append("```none\n" + "\n".join(line[4:] for line in paragraph.split("\n")) + "\n```")
        else:
            escaped = re.sub(r"([\\`*_<>\[\]#|{}$])", r"\\\1", paragraph)
            found.append(re.sub(r"^  - ", "* ", re.sub(r"^    (?=\S)", "  ", escaped, flags=re.M), flags=re.M))
    return "\n\n".join(found)


def heading(code):
    """The level and the title of a declaration."""
    match = NAME.match(code[0])
    if not match:
        return None
    owner, function, type_name, value = match.groups()
    if owner:
        return 4, f"{owner}.{function}"
    return 3, function or type_name or value


def page(title, text):
    head, _, body = text.partition("\n\n")
    lines = [f"# {title}", "", "```go", head, "```", ""]
    # The comment of the package has no indentation.
    split = re.split(r"\n(?=(?:CONSTANTS|VARIABLES|FUNCTIONS|TYPES)\n)", body, maxsplit=1)
    comment, rest = (split + [""])[:2]
    lines += [prose(["    " + line for line in comment.split("\n")]), ""]
    for kind, block in blocks(rest.split("\n")):
        text = "\n".join(block).strip("\n")
        if not text:
            continue
        if kind == "heading":
            lines += [f"## {text.capitalize()}", ""]
        elif kind == "prose":
            lines += [prose(block), ""]
        else:
            named = heading(block)
            if named:
                lines += ["#" * named[0] + " " + named[1], ""]
            lines += ["```go", text, "```", ""]
    return "\n".join(lines) + "\n"


def main(destination):
    for folder, (title, name) in PACKAGES.items():
        command = ["go", "doc", "-all"] + ([] if folder == "." else [f"./{folder}"])
        text = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT / "bindings/go").stdout
        (pathlib.Path(destination) / name).write_text(page(title, text), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
