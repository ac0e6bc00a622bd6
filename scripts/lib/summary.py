# SPDX-License-Identifier: BSD-3-Clause
"""Adds up meson's results: names what failed, then "N passed, N failed, N skipped". Exit status 1 if anything failed.

summary.py TESTLOG.JSON...
"""

import json
import os
import sys

PASSED = {"OK", "EXPECTEDFAIL"}
SKIPPED = {"SKIP"}


def main():
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    lines = []
    for path in sys.argv[1:]:
        build = os.path.basename(os.path.dirname(os.path.dirname(path)))
        found = 0
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    test = json.loads(line)
                    found += 1
                    verdict = test["result"]
                    kind = "passed" if verdict in PASSED else "skipped" if verdict in SKIPPED else "failed"
                    counts[kind] += 1
                    if kind != "passed":
                        lines.append(f"  {kind} ({verdict}, {test['duration']:.0f} s) in {build}: {test['name']}")
        if found == 0:
            counts["failed"] += 1
            lines.append(f"  failed: no test ran in {build}")
    print("\n".join(["", *lines]) if lines else "")
    print(", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return 1 if counts["failed"] or not counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
