# SPDX-License-Identifier: BSD-3-Clause
"""What every behaviour test stands on: waiting with a deadline, scenarios, and a small runner.

A test file names its scenarios (generators that set the stage, yield it, and clear it again) and hangs
functions on them whose names are the sentences they prove:

    @scenario
    def one_guest():
        with Dptap(...) as dptap:
            yield dptap
            dptap.stop()

    @one_guest.test
    def a_short_frame_is_counted(dptap):
        ...

    if __name__ == "__main__":
        main()

The functions of a scenario share one stage; after a failure it is torn down and set anew for the next one.
Exit status: 0 all passed, 77 nothing could be tried, 1 otherwise.
"""

import contextlib
import faulthandler
import os
import signal
import sys
import time
import traceback

DEADLINE = 60.0
"""Seconds that anything may take before a test gives up; far above what a loaded machine needs."""


class Skip(Exception):
    """This cannot be tried here; the text says why."""


class Failure(AssertionError):
    """A test found something else than it expected."""


def check(condition, text):
    """Fail with a text unless the condition holds."""
    if not condition:
        raise Failure(text)


def equal(found, expected, what):
    """Fail unless two values are the same."""
    if found != expected:
        raise Failure(f"{what}: found {found!r}, expected {expected!r}")


def wait_until(condition, what, deadline=DEADLINE, pause=0.002):
    """Poll a condition until it yields something true, and return that.

    `what` completes the sentence "waited in vain for ..."; a callable is asked for it at the end.
    """
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            text = what() if callable(what) else what
            raise Failure(f"waited {deadline:.0f} s in vain for {text}")
        time.sleep(pause)


class Scenario:
    """A stage, and the functions that play on it."""

    def __init__(self, generator):
        self.name = generator.__name__
        self.tests = []
        self._stage = contextlib.contextmanager(generator)
        _SCENARIOS.append(self)

    def test(self, function):
        """Decorator: this function is a test of this scenario."""
        self.tests.append(function)
        return function

    def play(self, wanted, report):
        """Run the functions whose names are wanted, in order, over as few stages as their failures allow."""
        waiting = [f for f in self.tests if not wanted or f.__name__ in wanted]
        while waiting:
            current = None
            try:
                with self._stage() as stage:
                    while waiting:
                        current = waiting.pop(0)
                        current(stage)
                        report.passed(current.__name__)
                        current = None
            except Skip as reason:
                report.skipped(current.__name__ if current else self.name, reason)
                if current is None:
                    return
            except Exception:  # pylint: disable=broad-except
                report.failed(current.__name__ if current else f"{self.name} (setting up or clearing away)")
                if current is None and waiting:
                    # the stage itself does not come up: the others would only repeat it
                    report.failed(f"{self.name}: {len(waiting)} tests that never ran", trace=False)
                    return


_SCENARIOS = []


def scenario(generator):
    """Decorator: this generator function sets a stage."""
    return Scenario(generator)


class Report:
    """Counts and prints."""

    def __init__(self):
        self.n_passed = self.n_failed = self.n_skipped = 0

    def passed(self, name):
        self.n_passed += 1
        print(f"ok - {name}", flush=True)

    def skipped(self, name, reason):
        self.n_skipped += 1
        print(f"skip - {name}: {reason}", flush=True)

    def failed(self, name, trace=True):
        self.n_failed += 1
        print(f"not ok - {name}", flush=True)
        if trace:
            text = traceback.format_exc()
            print("".join(f"# {line}\n" for line in text.splitlines()), end="", flush=True)

    def finish(self):
        more = f", {self.n_skipped} skipped" if self.n_skipped else ""
        print(f"{self.n_passed} passed, {self.n_failed} failed{more}", flush=True)
        if self.n_failed:
            return 1
        return 0 if self.n_passed else 77


def _terminated(number, _frame):
    raise SystemExit(128 + number)


def main(argv=None):
    """Run the file's tests (or those named as arguments) and leave with their verdict."""
    faulthandler.enable()
    # a test runner that loses patience must not leave processes behind: unwind the stage
    signal.signal(signal.SIGTERM, _terminated)
    wanted = set(sys.argv[1:] if argv is None else argv)
    known = {f.__name__ for s in _SCENARIOS for f in s.tests}
    if wanted - known:
        print(f"no such test: {', '.join(sorted(wanted - known))}", file=sys.stderr)
        sys.exit(2)
    if not os.environ.get("DPTAP"):
        print("skip: DPTAP does not name the program to be tested")
        sys.exit(77)
    report = Report()
    for one in _SCENARIOS:
        one.play(wanted, report)
    sys.exit(report.finish())
