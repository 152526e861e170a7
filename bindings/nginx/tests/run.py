#!/usr/bin/env python3
"""Runs the tests of the nginx module: `run.py [part of a name]...`. The last line counts passed and failed tests."""

import importlib
import pathlib
import sys
import time
import traceback

import harness

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[2] / "tests"))


def main(parts):
    for needed in (harness.MODULE, harness.SIM, pathlib.Path(harness.NGINX)):
        if not needed.exists():
            sys.exit(f"missing: {needed}; run `make test-nginx` at the top")
    passed, failed = 0, []
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, function in list(vars(module).items()):
            if not name.startswith("test_") or not callable(function):
                continue
            if parts and not any(part in f"{path.stem}.{name}" for part in parts):
                continue
            begun = time.monotonic()
            try:
                with harness.fixture() as f:
                    function(f)
                passed += 1
                print(f"ok   {name} ({time.monotonic() - begun:.1f} s)", flush=True)
            except Exception:  # noqa: BLE001
                failed.append(name)
                print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    if failed:
        print("failed: " + ", ".join(failed))
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
