# SPDX-License-Identifier: BSD-3-Clause
"""The result as a picture: how fast each program is, in bars whose unit is one of the peers."""

import dataclasses
import importlib.util
import os

from forwarder import TESTPMD
from process import BenchError
import report
from session import GSO, GUEST_TO_NIC

PLACEMENTS = {"sibling": "threads of one core", "near": "a common cache", "far": "different caches"}
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9")  # told apart by the colour-blind, too
GREY = "#666666"
INCHES_WIDE = 10
INCHES_PER_BAR = 0.27
BAR = 0.78  # of the room that a bar has; the next row begins after the room of one


@dataclasses.dataclass
class Bar:
    """One program in one row."""

    name: str
    speed: object  # a Ratio to the unit; None where there is none
    figure: str    # what was measured, for whom wants more than a ratio


@dataclasses.dataclass
class Row:
    """A case on a placement; without bars if nothing counted."""

    label: str
    small: str  # under it, in lines: over what rings and where, and what the program reached that is 1
    bars: list


FORMATS = (".png", ".svg", ".pdf")


def check(path):
    """Whether there is something to draw with, and a format to draw in, before anybody waits for a result."""
    if not importlib.util.find_spec("matplotlib"):
        raise BenchError("--chart needs matplotlib, which is not installed (package: python3-matplotlib)")
    if not path.endswith(FORMATS):
        raise BenchError(f"--chart {path}: the name must end in {', '.join(FORMATS)}")


def unit_of(names):
    """The number of the program that is 1 in the chart: testpmd, or the first peer."""
    return names.index(TESTPMD) if TESTPMD in names else 1


def make_rows(results, names):
    """The rows, as they are read from top to bottom. @results: {case: its summaries}."""
    unit = unit_of(names)
    several = len({summary.placement for summaries in results.values() for summary in summaries}) > 1
    rows = []
    for case, summaries in results.items():
        way = case.scenario.replace("-", " ").replace("nic", "NIC")
        label = f"{way}, " + ("64 KiB TCP" if case.size == GSO else f"{case.size} B")
        rings = [case.virtio, f"{case.queues} queue pairs" if case.queues > 1 else ""]
        if not summaries:
            rows.append(Row(label, in_lines(rings, ["no round counted"]), []))
        for summary in summaries:
            figures = figures_of(summary)
            bars = [Bar(name, summary.speed(number, unit), figures[number])
                    for number, name in enumerate(names) if number != unit]
            where = rings + [summary.placement if several else ""]
            rows.append(Row(label, in_lines(where, [f"{names[unit]} {figures[unit]}"]), bars))
    return rows


def in_lines(*lines):
    """The words of each, without those that say nothing."""
    return "\n".join(filter(None, (", ".join(filter(None, words)) for words in lines)))


def figures_of(summary):
    """Of each program, the figure from which its speed follows."""
    by_cycles = summary.case.scenario == GUEST_TO_NIC
    values = summary.medians("cycles_per_packet" if by_cycles else "mpps")
    form = "{:.0f} cycles/packet" if by_cycles else "{:.1f} Mpps" if max(filter(None, values)) >= 1 else "{:.3g} Mpps"
    return ["" if value is None else form.format(value) for value in values]


def footnote(results, options):
    """What a reader must know who sees nothing but the chart."""
    placements = {summary.placement: None for summaries in results.values() for summary in summaries}
    where = "; ".join(f"{name}: {PLACEMENTS[name]}" for name in placements)
    counted = sorted({len(summary.rounds) for summaries in results.values() for summary in summaries})
    rounds = "–".join(str(n) for n in dict.fromkeys((counted[0], counted[-1]))) if counted else "no"
    return (f"Bars: medians of {rounds} rounds of neighbouring windows of {options.window:g} s; whiskers: their middle "
            f"half. Starts: {options.starts}.\n"
            "Speed is packets per second; from guest to NIC, where the load is slower than the programs, it is packets "
            "per busy cycle.\n"
            f"One CPU forwards, another is the load{f' ({where})' if where else ''}; dptap in mode {options.mode}.\n"
            + report.machine())


def draw(path, results, names, options):
    """Draw it, in the format that the end of the path names."""
    import matplotlib  # pylint: disable=import-outside-toplevel  # nobody needs it for less
    matplotlib.use("Agg")
    from matplotlib import pyplot  # pylint: disable=import-outside-toplevel

    rows = make_rows(results, names)
    unit = names[unit_of(names)]
    colours = dict(zip((name for name in names if name != unit), COLOURS * len(names)))
    room = len(colours) + 1  # of a row, in bars
    above, below = 0.85, 1.4  # inches
    high = above + len(rows) * room * INCHES_PER_BAR + below
    figure, axes = pyplot.subplots(figsize=(INCHES_WIDE, high))
    figure.subplots_adjust(left=0.25, right=0.96, top=1 - above / high, bottom=below / high)

    longest = max([bar.speed.high for row in rows for bar in row.bars if bar.speed] + [1])
    for number, row in enumerate(rows):
        draw_row(axes, row, number * room, colours, longest)
    axes.axvline(1, color="black", linewidth=1.2, zorder=3)
    axes.annotate(f"{unit} = 1", (1, 1), xycoords=("data", "axes fraction"), xytext=(0, 3), textcoords="offset points",
                  ha="center", va="bottom", fontsize=10, fontweight="bold")
    axes.set_xlim(0, longest * 1.3)
    axes.set_ylim(len(rows) * room - 1.2, -0.8)
    axes.set_yticks([])
    axes.set_xlabel(f"speed, in ratio to {unit} (longer is faster)", fontsize=10)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)

    figure.text(0.02, 1 - 0.15 / high, f"{names[0]} against {report.in_words(names[1:])}, on the same load",
                fontsize=15, fontweight="bold", va="top")
    patches = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    figure.legend(patches, colours.keys(), loc="upper right", bbox_to_anchor=(0.98, 1 - 0.05 / high),
                  ncol=len(colours), frameon=False, fontsize=11, handlelength=1, handleheight=1)
    figure.text(0.02, 0.12 / high, footnote(results, options), fontsize=8, color=GREY, va="bottom", linespacing=1.4)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: cannot write the chart: {error}") from error


def draw_row(axes, row, top, colours, longest):
    """One row's label and bars; its first bar is at @top."""
    middle = top + (len(colours) - 1) / 2
    axes.annotate(row.label, (0, middle), xytext=(-12, 0), textcoords="offset points", ha="right", va="bottom",
                  fontsize=10.5)
    axes.annotate(row.small, (0, middle), xytext=(-12, -3), textcoords="offset points", ha="right", va="top",
                  fontsize=8, color=GREY)
    for number, bar in enumerate(row.bars):
        y = top + number
        if not bar.speed:
            axes.text(longest * 0.01, y, f"{bar.name}: cannot do this", va="center", fontsize=8, color=GREY)
            continue
        axes.barh(y, bar.speed.median, height=BAR, color=colours[bar.name], zorder=2)
        spread = [[bar.speed.median - bar.speed.low], [bar.speed.high - bar.speed.median]]
        axes.errorbar(bar.speed.median, y, xerr=spread, color="black", elinewidth=1, capsize=3, zorder=4)
        for text, right, style in ((f"{bar.speed.median:.2f}", 7, {"fontsize": 10, "fontweight": "bold"}),
                                   (bar.figure, 36, {"fontsize": 8, "color": GREY})):
            axes.annotate(text, (bar.speed.high, y), xytext=(right, 0), textcoords="offset points", va="center",
                          zorder=5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1}, **style)
