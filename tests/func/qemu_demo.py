#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""scripts/demo shows what it promises, and leaves nothing behind: at its end, after Ctrl-C, and when it fails."""

import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import ROOT
from testing import check, equal, main, scenario, wait_until


class Demo:
    """One run of it under a name of its own."""

    def __init__(self, *arguments, **environment):
        self.name = f"dptapd{os.getpid()}"
        self._text = tempfile.TemporaryFile("w+b")
        self.process = subprocess.Popen(
            [os.path.join(ROOT, "scripts", "demo"), "--name", self.name, *arguments], stdin=subprocess.DEVNULL,
            stdout=self._text, stderr=self._text, env={**os.environ, **environment}, start_new_session=True)

    def text(self):
        self._text.seek(0)
        return self._text.read().decode()

    def wait_for(self, words):
        wait_until(lambda: words in self.text() or self.process.poll() is not None, lambda: f"{words!r}: {self.text()}",
                   120, 0.02)
        check(words in self.text(), f"no {words!r} in: {self.text()}")

    def end(self):
        status = self.process.wait(180)
        left = [path for place in ("/run", "/run/netns", "/var/run/dpdk", "/sys/class/net", tempfile.gettempdir())
                for path in glob.glob(f"{place}/{self.name}*")]
        equal(left, [], "what is left")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                check(self.name.encode() not in file.read(), f"process {pid} is left")
        return status


@scenario
def anywhere():
    yield
    # they are of use only when something failed
    shutil.rmtree(os.path.join(ROOT, "build-logs", f"dptapd{os.getpid()}"))


@anywhere.test
def it_shows_traffic_drops_and_an_exact_balance(_):
    demo = Demo()
    status = demo.end()
    text = demo.text()

    equal(status, 0, f"exit status after {text}")
    check("\x1b" not in text, "colours although nobody looks")
    row = re.search(r"^ +vm0 +to_guest +FULL_RING +lane_guest_no_buffers +(\d+)$", text, re.MULTILINE)
    check(row, f"no line about the drops in {text}")
    ring = re.search(r"5000 frames were sent to it: (\d+) went into its receive ring, 1000 wait", text)
    check(ring, f"no line about the frozen guest in {text}")
    equal(int(row[1]), 4000 - int(ring[1]), "drops")
    check(re.search(r"balance: received .* held 0: exact; mbufs (\d+) of \1 back", text), f"no balance in {text}")
    for words in ("What next", "usual culprit:", "no process, namespace, link or socket is left"):
        check(words in text, f"no {words!r} in {text}")


@anywhere.test
def it_clears_away_after_ctrl_c_and_kill(_):
    for number, moment in ((signal.SIGINT, "dptap runs"), (signal.SIGTERM, "the guest is frozen")):
        demo = Demo()
        demo.wait_for(moment)
        os.killpg(demo.process.pid, number)

        equal(demo.end(), 130, f"exit status after {signal.Signals(number).name}")
        check("interrupted" in demo.text(), f"it does not say so: {demo.text()}")


@anywhere.test
def it_stays_up_when_asked_to(_):
    demo = Demo("--keep")
    demo.wait_for("Ctrl-C ends it")
    check(os.path.exists(f"/var/run/dpdk/{demo.name}/dpdk_telemetry.v2"), "no telemetry socket")
    os.killpg(demo.process.pid, signal.SIGINT)

    equal(demo.end(), 0, f"exit status of {demo.text()}")


@anywhere.test
def it_tells_what_failed_and_where_the_log_is(_):
    demo = Demo(DPTAP="/bin/true")

    equal(demo.end(), 1, "exit status")
    check("✗ dptap ended with exit status 0" in demo.text(), f"it does not say what failed: {demo.text()}")
    logs = re.search(r"logs: (.*)", demo.text())
    check(logs and os.path.exists(f"{logs[1]}/dptap.log"), f"it does not say where the logs are: {demo.text()}")


if __name__ == "__main__":
    main()
