"""Checks metrics in the text exposition format 0.0.4 of Prometheus, as `promtool check metrics` does."""

import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\d+(?:\.\d+)?)")
HEAD = re.compile(rf"# (HELP|TYPE) ({NAME}) (.+)")
# Base units only; the suffix _total is for counters.
OTHER_UNITS = ("_ms", "_milliseconds", "_minutes", "_kilobytes", "_percent")


def check(text):
    """Returns the values by series. Raises AssertionError where a rule of the format or of the names is broken."""
    assert text.endswith("\n"), "the last line is not complete"
    values, kinds, helped, current = {}, {}, set(), None
    for line in text[:-1].split("\n"):
        head = HEAD.fullmatch(line)
        if head:
            keyword, name, rest = head.groups()
            if keyword == "HELP":
                assert name not in helped, f"{name}: a second HELP"
                assert "\\" not in rest.replace("\\\\", "").replace("\\n", ""), f"{name}: HELP is not escaped"
                helped.add(name)
            else:
                assert name in helped and name not in kinds, f"{name}: TYPE without HELP, or a second one"
                assert rest in ("counter", "gauge"), f"{name}: {rest}"
                assert (rest == "counter") == name.endswith("_total"), f"{name} is a {rest}"
                assert not name.endswith(OTHER_UNITS), f"{name}: not a base unit"
                kinds[name] = rest
            current = name
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, f"not a sample: {line!r}"
        name, labels, value = sample.groups()
        assert name == current and name in kinds, f"{name}: not behind its TYPE"
        assert kinds[name] != "counter" or "." not in value, line
        series = f"{name}{{{labels}}}" if labels else name
        assert series not in values, f"{series}: twice"
        values[series] = float(value)
    assert helped == set(kinds), "HELP without TYPE"
    return values
