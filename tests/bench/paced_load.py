# SPDX-License-Identifier: BSD-3-Clause
"""The load that keeps time: paced_load.c, driven and read over its console."""

import collections
import dataclasses
import re

from process import Process

COUNTS = re.compile(r"went: due (\d+) late (\d+) refused (\d+) sent (\d+) arrived (\d+) returned (\d+) "
                    r"cycles (\d+) gap (\d+) hz (\d+)\n")
HISTOGRAM = re.compile(r"(\w+):((?: \d+:\d+)*)\n")


@dataclasses.dataclass(frozen=True)
class Trial:
    """Frames sent at a rate for a while, and what became of them."""

    due: int       # by the rate
    late: int      # of these, not sent: the load was too slow
    refused: int   # of these, not sent: the ring was full
    sent: int
    ended: int     # where they were to end
    seconds: float  # of sending
    gap: float     # seconds of the load's longest round
    there: list    # [(microseconds, frames that took no more)], ascending; to the far end
    back: list     # there and back again

    @property
    def lost(self):
        """Frames that a ring or the forwarder did not take on, or that did not come out."""
        return self.refused + self.sent - self.ended

    @property
    def mpps(self):
        """Throughput: millions of frames a second that came out."""
        return self.ended / self.seconds / 1e6


def parse_trial(text, echo):
    """What the load answers to "go"."""
    due, late, refused, sent, arrived, returned, cycles, gap, hertz = map(int, COUNTS.search(text).groups())
    histograms = {name: [(int(most) / hertz * 1e6, int(frames))
                         for most, frames in (pair.split(":") for pair in pairs.split())]
                  for name, pairs in HISTOGRAM.findall(text)}
    return Trial(due, late, refused, sent, returned if echo else arrived, cycles / hertz, gap / hertz,
                 histograms["there"], histograms["back"])


def merged(histograms):
    """One of several."""
    total = collections.Counter()
    for histogram in histograms:
        for microseconds, frames in histogram:
            total[microseconds] += frames
    return sorted(total.items())


def percentile(histogram, share):
    """The time that this share of the frames did not exceed; None if there are none."""
    left = share * sum(frames for _, frames in histogram)
    for microseconds, frames in histogram:
        left -= frames
        if left <= 0:
            return microseconds
    return None


class PacedLoad:
    """One such process on one CPU."""

    def __init__(self, name, program, eal, arguments, echo, place):
        argv = [program] + place.eal(name) + ["--no-telemetry"] + eal + ["--"] + [str(a) for a in arguments]
        self.process = Process(name, argv, place.cpu, place.log(name), place.nice)
        self._echo = echo

    def wait_ready(self):
        """Wait until its ports are up."""
        self.process.expect(r"ready\n", 30)

    def go(self, rate, seconds):
        """Send so many frames a second (0: as many as the ring takes) for so long; returns the Trial."""
        self.process.send(f"go {rate:.0f} {seconds * 1000:.0f}")
        answer = self.process.expect(COUNTS.pattern + r"there:.*?\nback:.*?\n", seconds + 20)
        return parse_trial(answer[0], self._echo)

    def stop(self):
        """End it."""
        self.process.stop("quit")
