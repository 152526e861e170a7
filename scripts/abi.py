#!/usr/bin/env python3
"""abi.py check|write: compares the ABI that include/clerk_auth.h describes with the one in tests/abi, by abidiff; or writes it.

The ABI of the header is that of a library in C whose functions and types are those of the header. Other tests compare the functions
(tests/abi/symbols.txt) and the layouts (tests/c/layout.c) of the header with those of the library.

Exit code: 0 the same, 1 different.
"""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BASELINE = ROOT / "tests/abi/libclerk_auth.so.0.abi"
FUNCTION = re.compile(r"(?:^|(?<=[;}]))\s*(?!typedef)([\w\s*]+?\b(clerk_\w+)\([^;{}]*\));")
TYPE = re.compile(r"typedef (?:enum|struct)(?: \w+)? \{[^{}]*\} (clerk_\w+);")


def sources(header: str) -> str:
    """Returns the library in C: each function, and a variable of each type that no function may use."""
    flat = re.sub(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)", "", header)
    functions = {name: prototype.strip() for prototype, name in FUNCTION.findall(flat)}
    symbols = (ROOT / "tests/abi/symbols.txt").read_text().split()
    missing = sorted(set(symbols) ^ set(functions))
    if missing:
        sys.exit(f"functions of the header and tests/abi/symbols.txt differ: {missing}")
    bodies = [f"{functions[name]} {{ __builtin_trap(); }}" for name in symbols]
    return "\n".join(['#include "clerk_auth.h"', *bodies, *(f"{name} type_of_{name};" for name in TYPE.findall(flat))])


def write_abi(folder: pathlib.Path) -> pathlib.Path:
    include = ["-I", str(ROOT / "include")]
    header = subprocess.run(["cc", "-E", "-P", *include, ROOT / "include/clerk_auth.h"], check=True, text=True, capture_output=True)
    source, library, abi = folder / "clerk_auth.c", folder / "libclerk_auth.so.0", folder / "clerk_auth.abi"
    source.write_text(sources(header.stdout))
    soname = "-Wl,-soname,libclerk_auth.so.0"
    subprocess.run(["cc", "-std=c11", "-g", "-shared", "-fPIC", *include, soname, "-o", library, source.name], check=True, cwd=folder)
    subprocess.run(["abidw", "--no-corpus-path", "--no-comp-dir-path", "--no-show-locs", "--out-file", abi, library], check=True)
    return abi


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        abi = write_abi(pathlib.Path(folder))
        if sys.argv[1:] == ["write"]:
            BASELINE.write_bytes(abi.read_bytes())
            return 0
        difference = subprocess.run(["abidiff", "--harmless", BASELINE, abi])
    if difference.returncode:
        print(
            "The ABI differs from tests/abi/libclerk_auth.so.0.abi. Compatible are only new functions, new enumerators and new members at the"
            " end of a structure with `struct_size`: if these are all, write the file by `make abi-write` and name them in CHANGELOG.md."
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
