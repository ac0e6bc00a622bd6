# SPDX-License-Identifier: BSD-3-Clause
"""The load of any number of guests: guest_load.c, driven and read over its console."""

import re
import time

from process import Process
from testpmd import ForwardStats

STATS = re.compile(r"stats: sent (\d+) received (\d+) busy (\d+) hz (\d+)\n")


class GuestLoad:
    """One such process on one CPU; the interface is that of testpmd's Console, as far as a load needs it."""

    def __init__(self, name, program, eal, arguments, place):
        argv = [program] + place.eal(name) + ["--no-telemetry"] + eal + ["--"] + [str(a) for a in arguments]
        self.process = Process(name, argv, place.cpu, place.log(name), place.nice)

    def wait_ready(self):
        """Wait until its ports are up."""
        self.process.expect(r"ready\n", 30)

    def command(self, line):
        """Run a command; returns (the answer's match, the monotonic time of the answer)."""
        self.process.send(line)
        found = self.process.expect(STATS.pattern.replace("stats", line.split()[0]), 10)
        return found, time.monotonic()

    def clear_stats(self):
        """Start counting at zero; returns the time."""
        return self.command("clear")[1]

    def stats(self):
        """(ForwardStats since the last clear, time of their reading)."""
        found, when = self.command("stats")
        received, sent = int(found[2]), int(found[1])
        return ForwardStats(received=received, sent=sent, busy_cycles=int(found[3]), tsc_hz=int(found[4])), when

    def stop(self):
        """End it."""
        self.process.stop("quit")
