# SPDX-License-Identifier: BSD-3-Clause
"""The highest rate at which nothing is lost, and how long packets are under way at shares of it."""

import contextlib
import dataclasses
import itertools

from compare import Ratio
from machine import Placement
from paced_load import PacedLoad, merged, percentile
from process import BenchError, wait_of_busiest, wait_until
from programs import refusal
import report
from session import GUEST_TO_GUEST, LOOP, MACS, OUTSIDE, Session, as_vdevs

LEVELS = (0.01, 0.5, 0.9)
"""Shares of the loss-free rate at which latency is measured."""

SHARES = (("median", 0.5), ("99 %", 0.99), ("99.9 %", 0.999))
"""What is told of the latencies of a window."""

LEGS = {LOOP: {"there": "NIC → guest", "back": "NIC → guest → NIC"}, GUEST_TO_GUEST: {"there": "guest → guest"}}
"""The histograms of a Trial that have a meaning, and which."""

FINE = 0.02            # of the rate: what the search leaves open
SLICE_S = 0.05         # a trial is made of slices, so that those can be left out in which something else ran
SLICES = 6             # without loss, and a rate is without
LOSSES = 3             # slices with loss, and it is given up
MOST_SLICES = 60       # of which too few count: the machine is too restless
MOST_TRIALS = 60       # of a search
WAITED_S = 200e-6      # the forwarder waited longer for its CPU: something else ran there
GAP_S = 200e-6         # a round of the load lasted longer: something else ran there
WARM_UP_S = 0.005


class RateSearch:
    """Bisection between a rate without loss, at first none, and one with loss, at first a guess."""

    def __init__(self, high):
        self.low = 0.0
        self.high = high

    @property
    def is_over(self):
        """Whether they are near enough to each other."""
        return self.high - self.low <= FINE * self.high

    @property
    def rate(self):
        """What to try next."""
        return (self.low + self.high) / 2

    def learn(self, is_free):
        """Whether that rate was without loss."""
        if is_free:
            self.low = self.rate
        else:
            self.high = self.rate


@dataclasses.dataclass
class Level:
    """The windows at one share of the loss-free rate."""

    share: float
    legs: dict  # {leg: [(median, 99 %, 99.9 %) of each window, in microseconds]}
    n_lossy: int = 0  # windows in which something was lost

    @property
    def n_windows(self):
        """How many count."""
        return len(next(iter(self.legs.values()), []))


@dataclasses.dataclass
class Result:
    """Of one program in one case."""

    name: str
    placement: str
    mpps: float        # the loss-free rate
    load_limited: bool  # the load cannot send more
    levels: list


class PacedSession(Session):
    """A forwarder between two guests, or between a guest and a NIC of shared memory, whose other side is the load."""

    def _nic_devargs(self, _has_addresses):
        """The forwarder's side of that."""
        if self._case.scenario == GUEST_TO_GUEST:
            return ""
        return f"net_memif0,role=server,socket={self._cable},socket-abstract=no"

    @property
    def scenario(self):
        """Which way packets go."""
        return self._case.scenario

    def _make_load(self):
        echo = self._case.scenario == LOOP
        vdevs = as_vdevs(self._guests_devargs())
        if echo:
            vdevs = ["--vdev", f"net_memif0,role=client,socket={self._cable},socket-abstract=no"] + vdevs
        macs = (OUTSIDE, MACS[0]) if echo else MACS[:2]
        return PacedLoad(self._load_name, self._load_program, vdevs, [self._case.length, int(echo), *macs], echo,
                         self._places[self._load_name])

    def _begin(self):
        """Wait until frames pass."""
        wait_until(lambda: self._load.go(1000, WARM_UP_S).ended > 0, 20, f"{self.name}: packets pass {self._case}")

    def slices(self, rate):
        """(Trial, what the forwarder dropped by its books) of undisturbed slices at a rate."""
        self._load.go(rate, WARM_UP_S)
        for _ in range(MOST_SLICES):
            dropped = self._forwarder.dropped()
            before = self._forwarder.schedules()
            trial = self._load.go(rate, SLICE_S)
            waited = wait_of_busiest(before, self._forwarder.schedules())
            if waited <= WAITED_S and trial.gap <= GAP_S:
                yield trial, self._forwarder.dropped() - dropped


def try_rate(slices):
    """Whether slices are without loss, and whether it is only the load that fails; (None, False): too few count."""
    n_free = n_lossy = n_late = 0
    for trial, dropped in slices:
        if trial.lost > 0 or dropped > 0:
            n_lossy += 1
        elif trial.late > 0:
            n_late += 1
        else:
            n_free += 1
        if n_lossy + n_late == LOSSES:
            return False, n_lossy == 0
        if n_free == SLICES:
            return True, False
    return None, False


def seen(placement, measure):
    """(placement or "" if it changed meanwhile, what measure() returned)."""
    before, _ = placement.measure()
    result = measure()
    return (before if placement.measure()[0] == before else ""), result


def search(session, placement):
    """(placement, the loss-free rate, whether the load can send no more) of the first search that ends."""
    most = max((trial.mpps for trial, _ in itertools.islice(session.slices(0), SLICES)), default=0) * 1.2e6
    searches = {name: RateSearch(most) for name in Placement.NAMES}
    limited = dict.fromkeys(Placement.NAMES, False)
    for _ in range(MOST_TRIALS if most else 0):
        expected, _ = placement.measure()
        one = searches[expected]
        where, (is_free, late) = seen(placement, lambda one=one: try_rate(session.slices(one.rate)))
        if where != expected or is_free is None:
            continue
        one.learn(is_free)
        if not is_free:
            limited[where] = late
        if one.is_over:
            return where, one.low, limited[where]
    raise BenchError(f"{session.name}: no loss-free rate after {MOST_TRIALS} trials: the machine is too restless")


def measure_level(session, placement, where, rate, share, options):
    """Windows at a share of a rate, on one placement; each is made of undisturbed slices."""
    level = Level(share, {})
    n_slices = max(1, round(options.window / SLICE_S))
    for _ in range(4 * options.rounds):
        at, slices = seen(placement, lambda: list(itertools.islice(session.slices(rate * share), n_slices)))
        if at != where or len(slices) < n_slices:
            continue
        level.n_lossy += any(trial.lost + dropped > 0 for trial, dropped in slices)
        for leg in LEGS[session.scenario]:
            histogram = merged(getattr(trial, leg) for trial, _ in slices)
            level.legs.setdefault(leg, []).append([percentile(histogram, part) for _, part in SHARES])
        if level.n_windows == options.rounds:
            break
    return level


def measure(case, programs, placement, options, make_place):
    """[Result] of each program that can do the case, one after the other; told on standard output meanwhile."""
    results = []
    for name, program in programs:
        if refusal(program, case):
            print(f"  left out: {name}: {refusal(program, case)}")
            continue
        session = PacedSession(name, program, case, options, make_place)
        with contextlib.ExitStack() as ends:
            ends.callback(session.stop)
            session.start()
            where, rate, limited = search(session, placement)
            result = Result(name, where, rate / 1e6, limited, [])
            print(f"  {where:8} {name}: loss-free {rate_of(result)}", flush=True)
            for share in LEVELS:
                result.levels.append(measure_level(session, placement, where, rate, share, options))
                for cells in level_rows(case, result.levels[-1]):
                    print("           " + "  ".join(map(str, cells)), flush=True)
        results.append(result)
    return results


# ---- what is shown ----

HEADS = ["packets pass", "frame", "placement", "program", "loss-free rate", "at", "way", "windows", "with loss"]

EXPLANATION = f"""\
Loss-free rate: the highest found by bisection (to {FINE:.0%}) at which {SLICES} slices of {SLICE_S:g} s lose nothing:
each frame that was due was sent, taken, and came out, and dptap's books say that it dropped none; {LOSSES} slices with
loss, and a rate is given up. "≥": the load can send no more. Slices in which something else ran on the two
CPUs do not count. Latencies are those of frames, in microseconds, from being given to the sender's ring to being
taken from the receiver's; the load, which is on one CPU and polls, has its share in them. Shown is the median over
windows and, in parentheses, their middle half.
"""


def rate_of(result):
    """The loss-free rate in words."""
    return ("≥ " if result.load_limited else "") + report.figure(result.mpps) + " Mpps"


def microseconds(spread):
    """A Ratio that is none, but has a median and a middle half."""
    return f"{spread.median:.1f} ({spread.low:.1f}..{spread.high:.1f})"


def level_rows(case, level):
    """The cells of one level."""
    rows = []
    for leg, windows in level.legs.items():
        spreads = [microseconds(Ratio.of(values)) for values in zip(*windows)]
        rows.append([f"{level.share:.0%}", LEGS[case.scenario][leg], len(windows), level.n_lossy] + spreads)
    return rows


def rows_of(case, result):
    """The cells of one program's rows."""
    first = [case.scenario, report.frame_of(case), result.placement, result.name, rate_of(result)]
    return [first + cells for level in result.levels for cells in level_rows(case, level)]


def markdown(results, names, options):
    """The whole result as a page. @results: {case: [Result]}."""
    heads = HEADS + [f"{name}, µs" for name, _ in SHARES]
    lines = [f"Loss-free rate and latency of {report.in_words(names)}, mode {options.mode}, "
             f"windows of {options.window:g} s.", report.machine(), "", report.row(heads), "|" + "---|" * len(heads)]
    lines += [report.row(cells) for case, found in results.items() for one in found for cells in rows_of(case, one)]
    return "\n".join(lines) + "\n\n" + EXPLANATION
