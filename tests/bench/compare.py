# SPDX-License-Identifier: BSD-3-Clause
"""Forwarders, all alive, measured in neighbouring windows; and what their rounds of windows say."""

import contextlib
import copy
import dataclasses
import statistics

from machine import Placement
from programs import refusal
from session import GUEST_TO_NIC, Session

MOST_WAITED = 0.05     # of a window: more, and something else was running on the CPUs
FEWEST_ROUNDS = 5      # of a placement: fewer are shown, and decide nothing


@dataclasses.dataclass
class Round:
    """A window of each forwarder, one right after the other."""

    placement: str     # empty if it changed meanwhile
    windows: list      # of the subject and its peers; None where one cannot do this case

    @property
    def fault(self):
        """Why the round does not count; empty if it does."""
        if not self.placement:
            return "the placement changed"
        waited = max(window.waited for window in self.windows if window)
        return f"{waited:.0%} of the time spent waiting for a CPU" if waited > MOST_WAITED else ""


@dataclasses.dataclass
class Ratio:
    """The median of the rounds' ratios, and between which their middle half lies."""

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
    """What the rounds of one case on one placement say.

    Programs go by their number: 0 is the subject, 1 its first peer.
    """

    case: object
    placement: str
    rounds: list         # those that count

    def has(self, number):
        """Whether the program could do this case."""
        return self.rounds[0].windows[number] is not None

    def medians(self, field):
        """Of one of a window's fields, for each program; None where there is none."""
        return [statistics.median(getattr(window, field) for window in windows) if windows[0] else None
                for windows in zip(*(one.windows for one in self.rounds))]

    def ratio(self, field, of, to):
        """Of one program to another; None if one could not do this case."""
        if not (self.has(of) and self.has(to)):
            return None
        return Ratio.of([getattr(one.windows[of], field) / getattr(one.windows[to], field) for one in self.rounds])

    def speed(self, of, to):
        """How fast one program is, the other being 1; None if one could not do this case.

        From guest to NIC the load is the slowest of the three, and a faster forwarder only waits longer: what counts is
        how few cycles it needs. From a NIC the forwarder has always more to do than it can.
        """
        if self.case.scenario == GUEST_TO_NIC:
            return self.ratio("cycles_per_packet", of=to, to=of)
        return self.ratio("mpps", of, to)


def compare(case, programs, placement, options, make_place, told):
    """Measure options.rounds rounds over options.starts starts of all forwarders; told(round) hears of each.

    Where its memory happens to lie makes a process faster or slower by some percent until it ends; several starts keep
    that from looking like a property of the program.

    @return (all rounds, (name, last words) of each program at the end of each of its runs)
    """
    rounds = []
    last_words = []
    if sum(not refusal(program, case) for _, program in programs) < 2:
        return rounds, last_words
    for start in range(options.starts):
        n_rounds = options.rounds // options.starts + (start < options.rounds % options.starts)
        sessions = [None if refusal(program, case) else
                    Session(name, program, *((case, options) if number == 0 else as_peer(case, options)), make_place)
                    for number, (name, program) in enumerate(programs)]
        with contextlib.ExitStack() as ends:
            for session in filter(None, reversed(sessions)):
                ends.callback(lambda session=session: last_words.append((session.name, session.stop())))
            for session in filter(None, sessions):
                session.start()
                session.freeze()
            for number in range(n_rounds):
                rounds.append(measure_round(sessions, placement, swapped=number % 2 == 1))
                told(rounds[-1])
    return rounds, last_words


def as_peer(case, options):
    """(case, options) as a peer gets them: other rings, or another mode, if the command line says so."""
    changes = {"virtio": options.peer_virtio, "queues": options.peer_queues}
    theirs = copy.copy(options)
    if options.peer_mode:
        theirs.mode, theirs.peer_mode = options.peer_mode, options.mode
    return dataclasses.replace(case, **{name: value for name, value in changes.items() if value is not None}), theirs


def take_turns(n_programs, swapped):
    """The programs' numbers in the order of their windows: the subject between its peers, as near to each as can be."""
    order = list(range(1, n_programs))
    order.insert(len(order) // 2, 0)
    return order[::-1] if swapped else order


def measure_round(sessions, placement, swapped):
    """One window of each, in alternating order, each between two looks at the placement."""
    windows = [None] * len(sessions)
    seen = [placement.measure()]
    for number in take_turns(len(sessions), swapped):
        if sessions[number]:
            windows[number] = sessions[number].window()
            seen.append(placement.measure())
    names = {name for name, _ in seen}
    return Round(names.pop() if len(names) == 1 else "", windows)


def summarise(case, rounds):
    """A Summary for each placement that has rounds that count."""
    by_placement = {name: [one for one in rounds if one.placement == name and not one.fault]
                    for name in Placement.NAMES}
    return [Summary(case, name, good) for name, good in by_placement.items() if good]


def judge(results, names, required):
    """Hold the results against --require: (True, False or None if there is too little to tell, why).

    @param results  {case: its summaries}
    @param names    of the subject and its peers
    """
    slow, unknown = [], []
    for case, summaries in results.items():
        solid = [summary for summary in summaries if len(summary.rounds) >= FEWEST_ROUNDS]
        if not solid:
            unknown.append(str(case))
        for number, name in list(enumerate(names))[1:]:
            speeds = [(summary, summary.speed(0, number).median) for summary in solid if summary.has(number)]
            slow += [f"{case}, {s.placement}: {speed:.2f} of {name}" for s, speed in speeds if speed < required]
    if slow:
        return False, f"slower than {required:g} of a peer: " + "; ".join(slow)
    if unknown:
        return None, f"fewer than {FEWEST_ROUNDS} good rounds: " + "; ".join(unknown)
    return True, f"at least {required:g} of each peer everywhere"
