"""Runs the tests of mod_auth_clerk against real servers; ends with `N passed, N failed`. `run.py NAME...` runs those whose name
contains one of the words."""

import importlib
import pathlib
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[2] / "tests")]

import harness  # noqa: E402

FILES = "build_test config_test request_test policy_test protocol_test lifecycle_test webhook_test shared_cache_test example_test attack_test pages_test browser_test".split()


def main(words):
    for needed in (harness.MODULE, harness.SIM, pathlib.Path(harness.APACHE)):
        if not needed.exists():
            print(f"missing: {needed}; run `make test-apache` in the repository", file=sys.stderr)
            return 1
    passed = failed = 0
    with tempfile.TemporaryDirectory() as directory:
        sim = harness.Sim(directory)
        try:
            for name in FILES:
                for label, case in importlib.import_module(name).cases(sim):
                    if words and not any(word in label for word in words):
                        continue
                    began = time.monotonic()
                    try:
                        case()
                        passed += 1
                        print(f"ok {label} ({time.monotonic() - began:.1f} s)", flush=True)
                    except Exception:
                        failed += 1
                        print(f"FAIL {label}\n{traceback.format_exc()}", flush=True)
        finally:
            sim.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
