"""Every code block of the site's own pages is compiled, run or checked, and every name of the C header in them exists."""

import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import tempfile

import programs

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGES = ROOT / "docs/site"
STAGE = ROOT / "build/stage"
FENCE = re.compile(r"^(`{3,})(.*)\n((?:.*\n)*?)\1$", re.M)
ENVIRONMENT = {**os.environ, "PKG_CONFIG_PATH": f"{STAGE}/lib/pkgconfig", "CMAKE_PREFIX_PATH": str(STAGE),
               "LD_LIBRARY_PATH": f"{STAGE}/lib", "GOFLAGS": "-mod=readonly"}


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, timeout=600, **options)
    return "" if done.returncode == 0 else f"{command}: {done.stdout}{done.stderr}"


class Blocks:
    def __init__(self, work):
        self.work, self.found, self.count = work, [], 0
        self.files = set()
        self.targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
        tool = (ROOT / "tool/src/main.rs").read_text()
        commands = re.search(r"\nenum Command \{\n(.*?)\n\}", tool, re.S)[1]
        self.subcommands = {name.lower() for name in re.findall(r"^    ([A-Z]\w*)\b", commands, re.M)}
        assert {"explain", "doctor", "config"} <= self.subcommands and "docs" in self.targets

    def check_page(self, path):
        for _, info, body in FENCE.findall(path.read_text()):
            self.count += 1
            directive = re.match(r"\{(\w+)\} ?(.*)", info)
            language = directive[1] if directive else info
            check = getattr(self, f"check_{language}", None)
            if not info:
                self.found.append(f"{path}: a code block without a language")
            elif check is None:
                self.found.append(f"{path}: a code block in {language}: include a file that is compiled instead")
            else:
                argument = directive[2] if directive else None
                self.found += [f"{path}: {problem}" for problem in check(body, argument) if problem]

    def passed(self, *_):
        """What Sphinx checks itself, with warnings as errors."""
        return []

    check_toctree = check_picture = check_doxygennamespace = check_include = passed

    def check_raw(self, body, argument):
        # links.py checks what it becomes.
        return [] if argument == "html" and "<script" not in body else ["raw"]

    def check_literalinclude(self, body, argument):
        self.files.add(argument)
        return [] if ":language:" in body else [f"{argument} is included without a language"]

    def check_sql(self, body, _):
        try:
            sqlite3.connect(":memory:").executescript(body)
        except sqlite3.Error as e:
            return [str(e)]
        return []

    def check_cmake(self, body, _):
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            source = re.search(r"who\.c\w*", body)[0]
            shutil.copy(ROOT / ("examples" if source == "who.c" else "bindings/cpp/examples") / source, folder)
            head = "cmake_minimum_required(VERSION 3.16)\nproject(page C CXX)\n"
            pathlib.Path(folder, "CMakeLists.txt").write_text(head + body)
            return [run(["cmake", "-S", folder, "-B", f"{folder}/build"]) or run(["cmake", "--build", f"{folder}/build"])]

    def check_sh(self, body, _):
        return [self.check_command(line) for line in body.splitlines() if line]

    def check_command(self, line):
        words = line.split()
        command, rest = words[0], words[1:]
        if command == "make":
            if rest[0] == "-C":
                known = set(re.findall(r"^([a-z-]+):", (ROOT / rest[1] / "Makefile").read_text(), re.M))
                return "" if set(rest[2:]) <= known else f"no such target: {line}"
            return "" if rest[0] in self.targets else f"no such target: {line}"
        if command == "clerk-auth":
            return "" if rest[0] in self.subcommands else f"no such command: {line}"
        if command in ("cc", "c++"):
            source = rest[0] if command == "cc" else rest[1]
            folder = ROOT / ("examples" if command == "cc" else "bindings/cpp/examples")
            shutil.copy(folder / source, self.work)
            return run(["bash", "-ec", line.replace(source, f"-Wall -Werror {source}", 1)], cwd=self.work)
        if command == "cargo":
            if rest[0] == "test":
                return "" if any((ROOT / "tests" / name).exists() for name in (f"{rest[2]}.rs", rest[2])) else f"no such test: {line}"
            if rest[:2] == ["run", "--example"]:
                return "" if (ROOT / f"examples/{rest[2]}.rs").exists() else f"no such example: {line}"
            manifest = (ROOT / "Cargo.toml").read_text()
            is_known = rest[0] == "--version" or rest[0] == "add" and f'name = "{rest[1]}"' in manifest
            return "" if is_known else f"no such command: {line}"
        if command == "go":
            module = (ROOT / "bindings/go/go.mod").read_text().split()[1]
            return "" if rest in (["get", module], ["run", "."]) else f"no such module: {line}"
        if command == "npm":
            return "" if rest == ["install", "clerk-auth"] else f"no such package: {line}"
        if command == "node":
            return "" if (ROOT / "bindings/node/examples" / rest[0]).exists() else f"no such program: {line}"
        if command == "export":
            names = set(re.findall(r"(\w+)=", line)) - {"TOKEN"}
            return "" if names <= set(re.findall(r"`(CLERK_\w+)`", (ROOT / "README.md").read_text())) else f"no such variable: {line}"
        if command == "./who" or command in ("curl", "apt-get", "install", "ldconfig", "rustup", "nginx", "apachectl"):
            return ""
        return f"a command that is not checked: {line}"

    def check_files(self):
        """The files that pages include, by the means of their language."""
        for name in sorted(self.files):
            folder, _, base = name.rpartition("/")
            if name.startswith("docs/site/code/"):
                continue  # all of that folder are run, whether included or not
            if folder == "bindings/cpp/examples":
                flags = ["-std=c++17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{STAGE}/include", f"-I{ROOT}/bindings/cpp/include"]
                yield run(["c++", *flags, ROOT / name])
            elif folder == "examples" and name.endswith(".c"):
                yield run(["cc", "-std=c11", "-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{STAGE}/include", ROOT / name])
            elif folder == "examples" and name.endswith(".rs"):
                pass  # cargo test compiles all of them
            elif folder == "bindings/node/examples":
                yield run(["node", "--check", ROOT / name])
            elif name.startswith("bindings/go/"):
                yield run(["go", "vet", f"./{folder.removeprefix('bindings/go/')}"], cwd=ROOT / "bindings/go")
            elif folder == "bindings/nginx/examples":
                yield "" if base.removesuffix(".conf") in (ROOT / "bindings/nginx/tests/test_examples.py").read_text() else f"{name} is started by no test"
            elif folder == "bindings/apache/examples":
                yield "" if base.removesuffix(".conf") in (ROOT / "bindings/apache/tests/example_test.py").read_text() else f"{name} is started by no test"
            else:
                yield f"{name} is included, and nothing compiles it"


def unknown_names(path):
    """Names of C in a page that exist neither in the header, nor as a setting's variable, nor as a directive."""
    known = "".join((ROOT / name).read_text() for name in
                    ("include/clerk_auth.h", "README.md", "bindings/nginx/README.md", "bindings/apache/README.md", "docs/releasing.md"))
    words = set(re.findall(r"\b\w+\b", known))
    for name in re.findall(r"`((?:clerk|CLERK)_\w+)[`( ]", path.read_text()):
        # A name without its prefix, such as CLERK_UPDATED_AT_MS, is a part of one.
        if name not in words and not any(word.endswith(name) for word in words):
            yield f"{path}: there is no {name}"


def check_memory():
    """The figure of the page on memory is the measured one."""
    row = re.search(r"\| memory of an entry besides its claims.*", (ROOT / "docs/performance.md").read_text())[0]
    measured = re.findall(r"\| ([\d ]+) bytes", row)[-1]
    page = (PAGES / "reference/memory.md").read_text()
    return [] if f"| {measured}, and its claims |" in page else [f"reference/memory.md: an entry has {measured} bytes"]


# What a page must not contain, each with a part of the message.
PLANTED = {
    "```\nmake docs\n```\n": "without a language",
    "```c\nint main(void) { return 0; }\n```\n": "include a file",
    "```sh\nmake sandwich\n```\n": "no such target",
    "```sh\nclerk-auth guess\n```\n": "no such command",
    "```sh\nexport CLERK_COLOUR=red\n```\n": "no such variable",
    "```sh\nrm -r build\n```\n": "not checked",
    "```sh\ncc who.c -o who\n```\n": "clerk_auth.h",
    "```sql\nCREATE TABEL account (id INTEGER)\n```\n": "syntax error",
    "```{literalinclude} scripts/tools.sh\n:language: sh\n```\n": "nothing compiles it",
    "```{literalinclude} examples/who.c\n```\n": "without a language",
    "Call `clerk_authenticate_all`.\n": "there is no clerk_authenticate_all",
}


def check_planted(work):
    """Each fault in PLANTED is found."""
    for text, message in PLANTED.items():
        page = pathlib.Path(work, "planted.md")
        page.write_text(text)
        blocks = Blocks(work)
        blocks.check_page(page)
        found = [*blocks.found, *unknown_names(page), *filter(None, blocks.check_files())]
        assert any(message in problem for problem in found), (text, found)


def run_all():
    with tempfile.TemporaryDirectory() as work:
        check_planted(work)
        blocks = Blocks(work)
        pages = sorted(PAGES.rglob("*.md"))
        for page in pages:
            blocks.check_page(page)
            blocks.found += unknown_names(page)
        assert len(pages) > 25 and blocks.count > 60, (len(pages), blocks.count)
        assert len(blocks.files) > 20, blocks.files
        blocks.found += [problem for problem in blocks.check_files() if problem]
        blocks.found += check_memory()
        assert not blocks.found, "\n".join(blocks.found)
    names = programs.run(ROOT, ENVIRONMENT)
    return f"{blocks.count} blocks, {len(blocks.files)} included files, {len(names)} programs"
