# SPDX-License-Identifier: BSD-3-Clause
"""dpdk-testpmd at its interactive console: how the load and the peer are driven and read."""

import dataclasses
import re
import time

from process import BenchError, Process

PROGRAM = "dpdk-testpmd"
PROMPT = r"testpmd> "


@dataclasses.dataclass
class ForwardStats:
    """What `show fwd stats all` says since the last clear."""

    received: int
    sent: int
    busy_cycles: int  # of the rounds that moved packets
    tsc_hz: int
    sent_by: dict = dataclasses.field(default_factory=dict)  # {port: packets}, where ports are told apart


def parse_forward_stats(text):
    """Read testpmd's `show fwd stats all`; a testpmd that moved nothing shows no cycles."""
    each, _, totals = text.partition("Accumulated forward statistics")
    counts = {name: re.search(name + r":\s*(\d+)", totals) for name in ("RX-packets", "TX-packets")}
    if None in counts.values():
        raise BenchError(f"testpmd's forward statistics make no sense:\n{text}")
    cycles = re.search(r"total cycles=(\d+).* at (\d+) MHz", totals)
    return ForwardStats(
        received=int(counts["RX-packets"].group(1)),
        sent=int(counts["TX-packets"].group(1)),
        busy_cycles=int(cycles.group(1)) if cycles else 0,
        tsc_hz=int(cycles.group(2)) * 1_000_000 if cycles else 0,
        sent_by={int(port): int(sent) for port, sent in
                 re.findall(r"Forward statistics for port (\d+).*?TX-packets:\s*(\d+)", each, re.DOTALL)})


class Console:
    """One testpmd process on one CPU, with its prompt."""

    def __init__(self, name, eal, options, place):
        argv = ([PROGRAM] + place.eal(name) + ["--no-telemetry"] + eal
                + ["--", "--interactive", "--nb-cores=1", "--no-flush-rx", "--record-core-cycles"] + options)
        self.process = Process(name, argv, place.cpu, place.log(name), place.nice)

    def wait_ready(self):
        """Wait for the first prompt."""
        self.process.expect(PROMPT, 30)

    def command(self, line):
        """Run a command; returns (its output, the monotonic time when the output began)."""
        self.process.send(line)
        # the console echoes the line, prints, and prompts again
        self.process.expect(re.escape(line) + r"\s*\n", 10)
        began = time.monotonic()
        return self.process.expect(r"(.*)" + PROMPT, 10).group(1), began

    def clear_stats(self):
        """Start counting at zero; returns the time."""
        return self.command("clear fwd stats all")[1]

    def stats(self):
        """(ForwardStats since the last clear, time of their reading)."""
        text, when = self.command("show fwd stats all")
        return parse_forward_stats(text), when

    def stop(self):
        """End it."""
        self.process.stop("quit")
