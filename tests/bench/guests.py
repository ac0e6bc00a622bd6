# SPDX-License-Identifier: BSD-3-Clause
"""What many guests cost dptap: per packet, per idle queue pair, and in memory."""

import contextlib
import dataclasses
import statistics
import time

from compare import measure_round, summarise
from programs import LOAD_MB, choose_programs
import report
from session import BUSY_MAX, NIC_TO_GUEST, Session

COUNTS = (1, 8, 64)
"""Guests of one dptap."""

IDLE_LOOKS = 7
IDLE_S = 0.1


@dataclasses.dataclass
class Standing:
    """What so many guests cost without a packet."""

    cycles_per_round: list  # of each look; empty if the NIC sends all the time
    megabytes: float        # of dptap: hugepages and others


class Crowd(Session):
    """A dptap with many guests, in bridge mode, that is looked at before they send anything."""

    def __init__(self, name, program, case, options, make_place):
        super().__init__(name, program, case, options, make_place)
        self.standings = []
        self._idle = None
        self._idle_name = self._load_name + "-idle"
        self._places[self._idle_name] = self._places[self._load_name]

    def _make_load(self):
        """The guests that one load cannot be are there, and have nothing to say."""
        if self._case.n_guests > self._case.n_busy:
            self._idle = self._make_guests(self._idle_name, self._case.n_busy, self._case.n_guests)
            self._idle.wait_ready()
        return super()._make_load()

    def stop(self):
        """End all."""
        try:
            if self._idle:
                self.thaw()  # guests take leave of dptap
                self._idle.process.thaw()
                self._idle.stop()
        finally:
            last_words = super().stop()
        return last_words

    def _begin(self):
        if self._idle:
            self._idle.process.freeze()
        looks = [self._forwarder.read_rounds()]  # of cycles and rounds
        for _ in range(IDLE_LOOKS):
            time.sleep(IDLE_S)
            looks.append(self._forwarder.read_rounds())
        if self._case.scenario == NIC_TO_GUEST:
            looks = []
        spent = [(after[0] - before[0]) / max(1, after[1] - before[1]) for before, after in zip(looks, looks[1:])]
        self.standings.append(Standing(spent, self._forwarder.processes()[0].megabytes()))
        super()._begin()


@dataclasses.dataclass
class Result:
    """Of one case."""

    summaries: list
    standings: dict  # {guests: [Standing of each start]}


def prepare(options):
    """dptap alone; it stands for as many programs as there are numbers of guests."""
    options.mode = "bridge"
    options.more_mb = LOAD_MB
    options.peer = options.dptap
    (_, dptap), _ = choose_programs(options)
    return [(f"{count} guest{'s' * (count > 1)}", dptap) for count in COUNTS]


def measure(case, programs, placement, options, make_place):
    """The Result of a case, told on standard output while it goes on."""
    names = [name for name, _ in programs]
    rounds, standings = [], {count: [] for count in COUNTS}
    for start in range(options.starts):
        crowds = [Crowd(f"dptap-{count}", dptap, dataclasses.replace(case, guests=count), options, make_place)
                  for count, (_, dptap) in zip(COUNTS, programs)]
        with contextlib.ExitStack() as ends:
            for crowd in reversed(crowds):
                ends.callback(crowd.stop)
            for count, crowd in zip(COUNTS, crowds):
                crowd.start()
                crowd.freeze()
                standings[count] += crowd.standings
            for number in range(options.rounds // options.starts + (start < options.rounds % options.starts)):
                rounds.append(measure_round(crowds, placement, swapped=number % 2 == 1))
                report.tell_round(rounds[-1], names)
    return Result(summarise(case, rounds), standings)


def idle_cycles(standings):
    """Median of a round's cycles, over all looks; None if there were none."""
    looks = [cycles for standing in standings for cycles in standing.cycles_per_round]
    return statistics.median(looks) if looks else None


def per_guest(figures):
    """What one more guest adds. @figures: {guests: figure}."""
    few, many = min(figures), max(figures)
    return (figures[many] - figures[few]) / (many - few)


# ---- what is shown ----

HEADS = (["direction", "frame", "placement", "rounds"] + [f"cycles/packet, {count}" for count in COUNTS]
         + [f"{count} to {COUNTS[0]}" for count in COUNTS[1:]] + [f"Mpps, {count}" for count in COUNTS])

EXPLANATION = f"""\
Cycles are those of rounds that moved packets, for each that came out; ratios are medians over rounds of neighbouring
windows and, in parentheses, their middle half. Towards guests dptap is overloaded, and what was dropped is in them;
each frame is for another guest than the one before, the worst that there is. Towards the NIC the load is slower than
dptap, and most guests that a round looks at have nothing to send. At most {BUSY_MAX} guests have packets; the others
are there and silent. Idle: nobody sends, nor does the NIC. Memory is dptap's, hugepages included, with lanes of 1000
packets; both are medians over all looks and starts.
"""


def rows_of(case, result):
    """The cells of a case."""
    return [[case.scenario, report.frame_of(case), summary.placement, len(summary.rounds),
             *(f"{value:.1f}" for value in summary.medians("cycles_per_packet")),
             *(f"**{summary.ratio('cycles_per_packet', number, 0)}**" for number in range(1, len(COUNTS))),
             *(report.figure(value) for value in summary.medians("mpps"))] for summary in result.summaries]


def standing_rows(results):
    """The cells of what costs without packets, over all cases."""
    standings = {count: [one for result in results.values() for one in result.standings[count]] for count in COUNTS}
    cycles = {count: idle_cycles(found) for count, found in standings.items()}
    memory = {count: statistics.median(one.megabytes for one in found) for count, found in standings.items()}
    rows = [["memory, MB", *(f"{memory[count]:.0f}" for count in COUNTS), f"**{per_guest(memory):.2f}**"]]
    if None not in cycles.values():
        rows.insert(0, ["an idle round, cycles", *(f"{cycles[count]:.0f}" for count in COUNTS),
                        f"**{per_guest(cycles):.1f}**"])
    return rows


def markdown(results, _names, options):
    """The whole result as a page. @results: {case: Result}."""
    lines = [f"dptap with {report.in_words(list(map(str, COUNTS)))} guests on one worker, mode bridge, windows of "
             f"{options.window:g} s, {options.starts} starts.", report.machine(), "",
             report.row(HEADS), "|" + "---|" * len(HEADS)]
    lines += [report.row(cells) for case, result in results.items() for cells in rows_of(case, result)]
    heads = ["", *(f"{count} guest{'s' * (count > 1)}" for count in COUNTS), "one guest more"]
    lines += ["", report.row(heads), "|" + "---|" * len(heads)] + [report.row(one) for one in standing_rows(results)]
    return "\n".join(lines) + "\n\n" + EXPLANATION
