# SPDX-License-Identifier: BSD-3-Clause
"""How results are shown: lines while it runs, and a Markdown table at the end."""

import os
import platform
import re
import subprocess

from session import GSO

NONE = "-"  # where a program could not do a case


def figure(mpps):
    """Three digits of it at the least: large packets are few."""
    return f"{mpps:.2f}" if mpps >= 1 else f"{mpps:.3g}"


FIGURES = (("Mpps", "mpps", figure), ("cycles/packet", "cycles_per_packet", "{:.0f}".format))
"""What is shown of each program: title, field of a window, and how that is written."""

EXPLANATION = """\
Ratios are {0} to {1}: the median over rounds of neighbouring windows and, in parentheses,
their middle half. Placement is how near the two CPUs were to each other (sibling: one core; near: one cache; far: two
caches). Cycles are those of the forwarder's loops that moved packets, for each packet that came out at the end. Speed,
{1} being 1: from guest to NIC the load is the bottleneck, so it compares cycles; otherwise it compares
throughput.
"""


def tell_round(one, names):
    """One line for one round of windows."""
    counts = one.fault and f"  not counted: {one.fault}"
    sides = "   ".join(f"{name} {figure(window.mpps):>6} Mpps {window.cycles_per_packet:5.0f} cycles"
                       for name, window in zip(names, one.windows) if window)
    print(f"  {one.placement or 'moved':8} {sides}{counts}", flush=True)


def tell_summary(summary, names):
    """The lines of one case on one placement."""
    print(f"  {summary.placement}: {len(summary.rounds)} rounds, "
          + ", ".join(f"{head} {speed}" for head, speed in zip(_heads("speed", names), _speeds(summary, names))))
    for title, field, form in FIGURES:
        medians = "   ".join(f"{name} {value}" for name, value in zip(names, _medians(summary, field, form)))
        ratios = "   ".join(f"{head} {ratio}" for head, ratio in zip(_heads("ratio", names),
                                                                       _ratios(summary, field, names)))
        print(f"    {title:14} {medians}   {ratios}", flush=True)


def _heads(what, names):
    """A word for each peer; a single one goes without saying."""
    return [what] if len(names) == 2 else [f"{what} to {name}" for name in names[1:]]


def _medians(summary, field, form):
    return [NONE if value is None else form(value) for value in summary.medians(field)]


def _ratios(summary, field, names):
    return [summary.ratio(field, 0, peer) or NONE for peer in range(1, len(names))]


def _speeds(summary, names):
    speeds = [summary.speed(0, peer) for peer in range(1, len(names))]
    return [f"{speed.median:.2f}" if speed else NONE for speed in speeds]


def markdown(results, names, options):
    """The whole result as a page. @results: {case: its summaries}."""
    peers = in_words(names[1:])
    lines = [f"{names[0]} against {peers}, mode {options.mode}"
             + (f", peer's virtio {options.peer_virtio or 'split'}" if options.peer_virtio is not None else "")
             + (f", peer's queue pairs {options.peer_queues}" if options.peer_queues else "")
             + (f", peer's mode {options.peer_mode}" if options.peer_mode else "")
             + f", windows of {options.window:g} s, {options.starts} starts.",
             machine(), ""]
    heads = ["direction", "frame", "placement", "rounds"]
    heads += [f"{name} Mpps" for name in names] + _heads("Mpps ratio", names)
    heads += [f"{name} cycles/packet" for name in names] + _heads("cycles ratio", names)
    heads += ["load busy"] + _heads("speed", names)
    lines += [row(heads), "|" + "---|" * len(heads)]
    for case, summaries in results.items():
        if not summaries:
            lines.append(row([case.scenario, frame_of(case), "no round counted", "0"] + [""] * (len(heads) - 4)))
        lines += [row([case.scenario, frame_of(case), s.placement, len(s.rounds)] + figures(s, names))
                  for s in summaries]
    return "\n".join(lines) + "\n\n" + EXPLANATION.format(names[0], peers)


def figures(summary, names):
    """The columns of a row from throughput on."""
    cells = []
    for _, field, form in FIGURES:
        cells += _medians(summary, field, form) + _ratios(summary, field, names)
    return (cells + [", ".join(_medians(summary, "load_busy", "{:.0%}".format))]
            + [speed if speed == NONE else f"**{speed}**" for speed in _speeds(summary, names)])


def row(cells):
    return "| " + " | ".join(map(str, cells)) + " |"


def in_words(names):
    """The names as a list in a sentence."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def frame_of(case):
    """The second column: the frame, and over what rings where they are not the usual ones."""
    queues = f"{case.queues} queue pairs" if case.queues > 1 else ""
    return ", ".join(filter(None, ("64 KiB TCP" if case.size == GSO else str(case.size), case.virtio, queues)))


def machine():
    """What it was measured on."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*:\s*(.*)", file.read())
    try:
        dpdk = subprocess.run(["pkg-config", "--modversion", "libdpdk"], capture_output=True, text=True,
                              check=False).stdout.strip()
    except FileNotFoundError:
        dpdk = ""
    return (f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} CPUs, "
            f"Linux {platform.release()}, DPDK {dpdk or 'of unknown version'}.")
