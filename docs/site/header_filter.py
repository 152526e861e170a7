"""Doxygen's input filter.

The C header: makes a group of each section. A section begins with a comment of stars whose first line is `Section - Name`; it ends
where the next one begins. The C++ headers: makes documentation of the comments before classes and members, which are plain ones.
"""

import re
import sys

BANNER = re.compile(r"^/\*{20,}\n \* Section - (.+)\n((?: \*.*\n)*?) \*{20,}/\n", re.M)


def sections(header):
    """The names of the sections, in order, and the rest of their comments."""
    return [(match[1], match[2]) for match in BANNER.finditer(header)]


def group(name):
    """The id of a section's group."""
    return "section_" + name.lower().replace(" ", "_")


def grouped(header):
    is_open = False

    def opened(match):
        nonlocal is_open
        end = "/** @} */\n" if is_open else ""
        is_open = True
        return f"{end}/**\n * @defgroup {group(match[1])} {match[1]}\n * @{{\n */\n"

    text = BANNER.sub(opened, header)
    assert is_open, "no section was found"
    # One name for each enumeration: C++ has one, and Sphinx reports the second as a duplicate.
    text = re.sub(r"^typedef (enum (\w+) .*?^\}) \2;", r"\1;", text, flags=re.M | re.S)
    # The last group ends before the end of `extern "C"`.
    head, end, tail = text.rpartition("\n#ifdef __cplusplus\n")
    return f"{head}\n/** @}} */\n{end}{tail}"


def documented(header):
    return re.sub(r"^((?: {4})?)// (?=\S)", r"\1/// ", header, flags=re.M)


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        source = file.read()
    sys.stdout.write(documented(source) if sys.argv[1].endswith(".hpp") else grouped(source))
