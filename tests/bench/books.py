# SPDX-License-Identifier: BSD-3-Clause
"""What the books cost: dptap against a build of itself that counts nothing."""

from programs import build_variant, choose_programs
import report

HEADS = ["direction", "frame", "placement", "rounds", "cycles/packet with books", "without", "the books cost"]

EXPLANATION = """\
The two differ in the counting alone (-Dbooks=false). What the books cost is how much faster dptap is without them: the
median over rounds of neighbouring windows and, in parentheses, their middle half. From guest to NIC it compares cycles,
otherwise throughput. Both are counted by the load.
"""


def prepare(options):
    """The two programs; the second one is built if need be."""
    options.counted_by_load = True
    options.peer = build_variant("without-books", "-Dbooks=false")
    (_, subject), (_, without) = choose_programs(options)
    return [("with", subject), ("without", without)]


def percent(speed):
    """A Ratio of speeds as what is gained."""
    median, low, high = (f"{(value - 1) * 100:+.1f}" for value in (speed.median, speed.low, speed.high))
    return f"{median} % ({low}..{high})"


def rows_of(case, summaries):
    """The cells of a case."""
    rows = []
    for summary in summaries:
        cycles = [f"{value:.1f}" for value in summary.medians("cycles_per_packet")]
        rows.append([case.scenario, report.frame_of(case), summary.placement, len(summary.rounds), *cycles,
                     f"**{percent(summary.speed(1, 0))}**"])
    return rows


def markdown(results, _names, options):
    """The whole result as a page. @results: {case: its summaries}."""
    lines = [f"What the books cost, mode {options.mode}, windows of {options.window:g} s, {options.starts} starts.",
             report.machine(), "", report.row(HEADS), "|" + "---|" * len(HEADS)]
    lines += [report.row(cells) for case, summaries in results.items() for cells in rows_of(case, summaries)]
    return "\n".join(lines) + "\n\n" + EXPLANATION
