#!/usr/bin/env python3
"""Prints the licences of all crates that are compiled into the library, each text once, from the crates' own files.

`--check` compares the crates named in THIRD-PARTY-LICENSES with those of Cargo.lock instead, and reads no crate's files.
"""
import collections
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "THIRD-PARTY-LICENSES"
LICENSE_FILE = re.compile(r"^(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)


def run(*command):
    return subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout


def linked_crates():
    """Returns name and version of each crate in the library on Linux, procedural macros and build tools left out."""
    tree = run("cargo", "tree", "--locked", "--package", "clerk-auth", "--edges", "normal,no-proc-macro", "--prefix", "none",
               "--target", "x86_64-unknown-linux-gnu", "--features", "capi,bundled-sqlite,redis,mysql,postgres", "--format", "{p}")
    crates = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    return sorted((name, version.lstrip("v")) for name, version in crates if name != "clerk-auth")


def license_files(package):
    folder = pathlib.Path(package["manifest_path"]).parent
    files = {path for path in folder.iterdir() if path.is_file() and LICENSE_FILE.match(path.name)}
    if package["license_file"]:
        files.add((folder / package["license_file"]).resolve())
    return sorted(files)


def main():
    crates = linked_crates()
    if "--check" in sys.argv[1:]:
        named = re.findall(r"^\* (\S+) (\d\S*) - ", OUTPUT.read_text(), re.MULTILINE)
        difference = set(crates) ^ set(named)
        for name, version in sorted(difference):
            print(f"THIRD-PARTY-LICENSES: {name} {version} is {'missing' if (name, version) in crates else 'no longer used'}")
        sys.exit(bool(difference) and "run `make third-party`")
    metadata = json.loads(run("cargo", "metadata", "--locked", "--all-features", "--format-version", "1"))
    packages = {(p["name"], p["version"]): p for p in metadata["packages"]}
    texts = collections.defaultdict(list)
    print("clerk-auth contains the following works. Each is followed by its licence as its authors declare it; the texts are below.\n")
    for crate in crates:
        package = packages[crate]
        print(f"* {crate[0]} {crate[1]} - {package['license'] or 'see its text'} ({package['repository'] or 'no repository named'})")
        for path in license_files(package):
            texts[path.read_text(errors="replace").strip().replace("\r\n", "\n")].append(f"{crate[0]} {crate[1]}, {path.name}")
    print("\nlibsqlite3-sys contains SQLite, which is in the public domain. aws-lc-sys contains AWS-LC.")
    for text, users in texts.items():
        print("\n" + "=" * 100 + "\n" + "\n".join(users) + "\n" + "-" * 100 + "\n" + text)


main()
