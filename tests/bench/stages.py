# SPDX-License-Identifier: BSD-3-Clause
"""Which stage of a packet's way through dptap costs how many cycles."""

import contextlib
import dataclasses

from compare import MOST_WAITED, Ratio
from machine import Placement
from programs import build_variant, choose_programs
import report
from session import Session

STAGES = ("take", "classify", "fit", "lane", "give", "nic", "poll")


@dataclasses.dataclass
class Look:
    """One window."""

    placement: str
    waited: float
    cycles: dict     # {stage: cycles of a packet that came out}
    readings: float  # of the clock, for such a packet


class Timed(Session):
    """A dptap that times its stages."""

    def look(self, placement):
        """A Look, at one window."""
        before, _ = placement.measure()
        cycles, readings, packets = self._forwarder.read_stages(STAGES)
        window = self.window()
        after_cycles, after_readings, after_packets = self._forwarder.read_stages(STAGES)
        where, _ = placement.measure()
        packets = after_packets - packets
        return Look(where if where == before else "", window.waited,
                    {stage: (after_cycles[stage] - cycles[stage]) / packets for stage in STAGES},
                    (after_readings - readings) / packets)

    def freeze(self):
        """Only the load: dptap answers."""
        self._load.process.freeze()


def prepare(options):
    """dptap built to time its stages, alone."""
    options.dptap = options.peer = build_variant("stages", "-Dstages=true")
    return choose_programs(options)[:1]


def measure(case, programs, placement, options, make_place):
    """[Look] of a case, told on standard output while it goes on."""
    (name, program), = programs
    looks = []
    session = Timed(name, program, case, options, make_place)
    with contextlib.ExitStack() as ends:
        ends.callback(session.stop)
        session.start()
        for _ in range(options.rounds):
            looks.append(session.look(placement))
            print(f"  {looks[-1].placement or 'moved':8} "
                  + "  ".join(f"{stage} {cycles:.1f}" for stage, cycles in looks[-1].cycles.items()), flush=True)
    return looks


# ---- what is shown ----

HEADS = ["direction", "frame", "placement", "windows", *(stage.replace("nic", "NIC") for stage in STAGES), "sum",
         "clock readings"]

EXPLANATION = """\
Cycles of a packet that was delivered (in a loop: to the guest, and again to the NIC), in rounds that moved packets:
medians over windows. take: out of the guest's ring;
classify: whom it is for; fit: whether the receiver takes it as it is; lane: into the ring before an egress, and out;
give: into the guest's ring; NIC: the driver, both ways; poll: the worker's loop. Reading the clock costs some 20 cycles
each time, which are in the stage that it ends: the sum is higher than what dptap takes as it is installed.
"""


def rows_of(case, looks):
    """The cells of a case, a row for each placement."""
    rows = []
    for name in Placement.NAMES:
        good = [look for look in looks if look.placement == name and look.waited <= MOST_WAITED]
        if not good:
            continue
        medians = [Ratio.of([look.cycles[stage] for look in good]).median for stage in STAGES]
        rows.append([case.scenario, report.frame_of(case), name, len(good), *(f"{median:.1f}" for median in medians),
                     f"**{sum(medians):.1f}**", f"{Ratio.of([look.readings for look in good]).median:.2f}"])
    return rows


def markdown(results, _names, options):
    """The whole result as a page. @results: {case: [Look]}."""
    lines = [f"Cycles of a packet in dptap by stage, mode {options.mode}, windows of {options.window:g} s.",
             report.machine(), "", report.row(HEADS), "|" + "---|" * len(HEADS)]
    lines += [report.row(cells) for case, looks in results.items() for cells in rows_of(case, looks)]
    return "\n".join(lines) + "\n\n" + EXPLANATION
