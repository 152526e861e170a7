#!/usr/bin/env python3
"""Tests the documentation in build/site: `run.py [links|blocks|browser]...`. `make test-docs` builds the site and runs all."""

import pathlib
import sys
import time

import blocks
import browser
import links

PICTURES = pathlib.Path(__file__).resolve().parent.parent.parent / "build/docs/screenshots"
TESTS = {"links": links.run, "blocks": blocks.run_all, "browser": lambda: browser.run(PICTURES)}

failed = False
for name in sys.argv[1:] or TESTS:
    begun = time.monotonic()
    try:
        print(f"ok {name}: {TESTS[name]()} ({time.monotonic() - begun:.0f} s)")
    except AssertionError as error:
        failed = True
        print(f"FAIL {name}\n{error}")
sys.exit(failed)
