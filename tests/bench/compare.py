# SPDX-License-Identifier: BSD-3-Clause
"""Two forwarders, both alive, measured in neighbouring windows; and what their pairs of windows say."""

import dataclasses
import statistics

from machine import Placement
from session import GUEST_TO_NIC, Session, Window

MOST_WAITED = 0.05     # of a window: more, and something else was running on the CPUs
FEWEST_PAIRS = 5       # of a placement: fewer are shown, and decide nothing


@dataclasses.dataclass
class Pair:
    """A window of each forwarder, one right after the other."""

    placement: str     # empty if it changed meanwhile
    subject: Window
    peer: Window

    @property
    def fault(self):
        """Why the pair does not count; empty if it does."""
        if not self.placement:
            return "the placement changed"
        waited = max(self.subject.waited, self.peer.waited)
        return f"{waited:.0%} of the time spent waiting for a CPU" if waited > MOST_WAITED else ""


@dataclasses.dataclass
class Ratio:
    """The median of the pairs' ratios, subject to peer, and between which their middle half lies."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values):
        """Over at least one value."""
        ordered = sorted(values)
        quarter = len(ordered) // 4
        return cls(statistics.median(ordered), ordered[quarter], ordered[-1 - quarter])

    def __str__(self):
        return f"{self.median:.2f} ({self.low:.2f}..{self.high:.2f})"


@dataclasses.dataclass
class Summary:
    """What the pairs of one case on one placement say."""

    case: object
    placement: str
    n_pairs: int
    mpps: tuple          # medians of subject and peer
    mpps_ratio: Ratio
    cycles: tuple        # medians of subject and peer
    cycles_ratio: Ratio
    load_busy: tuple     # medians of subject and peer

    @property
    def speed(self):
        """How fast the subject is, the peer being 1.

        From guest to NIC the load is the slowest of the three, and a faster forwarder only waits longer: what counts is
        how few cycles it needs. From NIC to guest the forwarder has always more to do than it can.
        """
        return 1 / self.cycles_ratio.median if self.case.scenario == GUEST_TO_NIC else self.mpps_ratio.median


def compare(case, programs, placement, options, make_place, told):
    """Measure options.rounds pairs over options.starts starts of both forwarders; told(pair) hears of each pair.

    Where its memory happens to lie makes a process faster or slower by some percent until it ends; several starts keep
    that from looking like a property of the program.

    @return (all pairs, last words of each run of the subject)
    """
    pairs = []
    last_words = []
    for start in range(options.starts):
        n_rounds = options.rounds // options.starts + (start < options.rounds % options.starts)
        sessions = [Session(name, program, its_case, options, make_place)
                    for (name, program), its_case in zip(programs, (case, peers_case(case, options)))]
        try:
            for session in sessions:
                session.start()
                session.freeze()
            for number in range(n_rounds):
                pairs.append(measure_pair(sessions, placement, swapped=number % 2 == 1))
                told(pairs[-1])
        finally:
            try:
                last_words.append(sessions[0].stop())
            finally:
                sessions[1].stop()
    return pairs, last_words


def peers_case(case, options):
    """The case as the peer gets it: other rings, if the command line says so."""
    changes = {"virtio": options.peer_virtio, "queues": options.peer_queues}
    return dataclasses.replace(case, **{name: value for name, value in changes.items() if value is not None})


def measure_pair(sessions, placement, swapped):
    """One window of each, in alternating order, each between two looks at the placement."""
    windows = [None, None]
    seen = [placement.measure()]
    for i in (1, 0) if swapped else (0, 1):
        windows[i] = sessions[i].window()
        seen.append(placement.measure())
    names = {name for name, _ in seen}
    return Pair(names.pop() if len(names) == 1 else "", *windows)


def summarise(case, pairs):
    """A Summary for each placement that has pairs that count."""
    summaries = []
    for name in Placement.NAMES:
        good = [pair for pair in pairs if pair.placement == name and not pair.fault]
        if not good:
            continue
        sides = [[pair.subject for pair in good], [pair.peer for pair in good]]

        def medians(field, sides=sides):
            return tuple(statistics.median(getattr(window, field) for window in side) for side in sides)

        def ratio(field, good=good):
            return Ratio.of([getattr(pair.subject, field) / getattr(pair.peer, field) for pair in good])

        summaries.append(Summary(case, name, len(good), medians("mpps"), ratio("mpps"), medians("cycles_per_packet"),
                                 ratio("cycles_per_packet"), medians("load_busy")))
    return summaries


def judge(results, required):
    """Hold the results against --require: (True, False or None if there is too little to tell, why).

    @param results  {case: its summaries}
    """
    slow, unknown = [], []
    for case, summaries in results.items():
        solid = [summary for summary in summaries if summary.n_pairs >= FEWEST_PAIRS]
        if not solid:
            unknown.append(str(case))
        slow += [f"{case}, {s.placement}: {s.speed:.2f}" for s in solid if s.speed < required]
    if slow:
        return False, f"slower than {required:g} of the peer: " + "; ".join(slow)
    if unknown:
        return None, f"fewer than {FEWEST_PAIRS} good pairs: " + "; ".join(unknown)
    return True, f"at least {required:g} of the peer everywhere"
