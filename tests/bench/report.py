# SPDX-License-Identifier: BSD-3-Clause
"""How results are shown: lines while it runs, and a Markdown table at the end."""

import os
import platform
import re
import subprocess

from session import GSO

HEADER = """\
| direction | frame | placement | pairs | {0} Mpps | {1} Mpps | Mpps ratio | {0} cycles/packet | {1} cycles/packet \
| cycles ratio | load busy | speed |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""

EXPLANATION = """\
Ratios are {0} to {1}: the median over pairs of neighbouring windows and, in parentheses, their middle half.
Placement is how near the two CPUs were to each other (sibling: one core; near: one cache; far: two caches).
Cycles are those of rounds that moved packets, for each packet that came out at the end. Speed, {1} being 1: from
guest to NIC the load is the bottleneck, so it compares cycles; otherwise it compares throughput.
"""


def figure(mpps):
    """Three digits of it at the least: large packets are few."""
    return f"{mpps:.2f}" if mpps >= 1 else f"{mpps:.3g}"


def tell_round(pair, names):
    """One line for one pair of windows."""
    counts = pair.fault and f"  not counted: {pair.fault}"
    sides = "   ".join(f"{name} {figure(window.mpps):>6} Mpps {window.cycles_per_packet:5.0f} cycles"
                       for name, window in zip(names, (pair.subject, pair.peer)))
    print(f"  {pair.placement or 'moved':8} {sides}{counts}", flush=True)


def tell_summary(summary, names):
    """The lines of one case on one placement."""
    print(f"  {summary.placement}: {summary.n_pairs} pairs, speed {summary.speed:.2f}")
    print(f"    Mpps           {_both(names, map(figure, summary.mpps), '')}   ratio {summary.mpps_ratio}")
    print(f"    cycles/packet  {_both(names, summary.cycles, '.0f')}   ratio {summary.cycles_ratio}", flush=True)


def _both(names, values, form):
    return "   ".join(f"{name} {value:{form}}" for name, value in zip(names, values))


def markdown(results, names, options):
    """The whole result as a page. @results: {case: its summaries}."""
    lines = [f"{names[0]} against {names[1]}, mode {options.mode}"
             + (f", peer's virtio {options.peer_virtio or 'split'}" if options.peer_virtio is not None else "")
             + (f", peer's queue pairs {options.peer_queues}" if options.peer_queues else "")
             + f", windows of {options.window:g} s, {options.starts} starts.",
             machine(), "", HEADER.format(*names).rstrip()]
    for case, summaries in results.items():
        if not summaries:
            lines.append(f"| {case.scenario} | {frame_of(case)} | no pair counted | 0 |" + " |" * 8)
        for s in summaries:
            lines.append(f"| {case.scenario} | {frame_of(case)} | {s.placement} | {s.n_pairs} "
                         f"| {figure(s.mpps[0])} | {figure(s.mpps[1])} | {s.mpps_ratio} "
                         f"| {s.cycles[0]:.0f} | {s.cycles[1]:.0f} | {s.cycles_ratio} "
                         f"| {s.load_busy[0]:.0%}, {s.load_busy[1]:.0%} | **{s.speed:.2f}** |")
    return "\n".join(lines) + "\n\n" + EXPLANATION.format(*names)


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
