"""The module file: its exports and dependencies; two modules with Rust archives in one server."""

import re
import subprocess

import harness


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True).stdout


def module_exports_only_itself():
    names = [line.split()[-1] for line in output("nm", "-D", "--defined-only", harness.MODULE).splitlines()]
    assert names == ["auth_clerk_module"], names


def module_needs_no_library_of_ours():
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", output("readelf", "-d", harness.MODULE))
    assert needed and not [name for name in needed if "clerk" in name or "ssl" in name or "crypto" in name], needed


def module_stays_mapped_after_unload():
    assert "NODELETE" in output("readelf", "-d", harness.MODULE)


def pure_functions_agree_with_their_table():
    out = harness.FOLDER / "build" / "pure_test"
    subprocess.run(["cc", "-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-g",
                    f"-I{harness.FOLDER}/src", "-o", out, harness.HERE / "pure_test.c", harness.FOLDER / "src/claims.c",
                    harness.FOLDER / "src/names.c"], check=True)
    done = subprocess.run([out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def readme_of_the_tests_names_existing_ones():
    sources = "".join(path.read_text() for path in harness.HERE.glob("*_test.py"))
    rows = (harness.HERE / "README.md").read_text().split("|---|---|")[1].splitlines()
    names = [name for row in rows for name in re.findall(r"`([a-z_0-9]+)`", row.rpartition(" | ")[2])]
    missing = [name for name in names if f"def {name}(" not in sources]
    assert len(names) > 40 and not missing, missing


def cases(_sim):
    for case in (module_exports_only_itself, module_needs_no_library_of_ours, module_stays_mapped_after_unload,
                 pure_functions_agree_with_their_table, readme_of_the_tests_names_existing_ones):
        yield case.__name__, case
