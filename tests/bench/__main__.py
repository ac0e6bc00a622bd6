# SPDX-License-Identifier: BSD-3-Clause
"""What dptap, dpdk-testpmd, OVS-DPDK or another dptap make of the same load.

speed (the default): throughput and cycles per packet, as ratios. All run at the same time, each with a load of its own,
but only one of them is awake: windows of the one and the others follow each other closely, and only the ratio of
neighbours counts, because on most machines (virtual ones above all) the figures themselves drift.

latency: the highest rate at which nothing is lost, and how long packets are under way at 1, 50 and 90 % of it.

books: what counting costs, against a build of dptap that does not.

guests: what a packet, an idle guest and a guest's memory cost with 1, 8 and 64 guests.

idle: what dptap takes of a CPU while nothing passes, and how long the first frame after a rest is under way, however it
idles.

stages: which stage of a packet's way through dptap costs how many cycles.

README.md beside this file says how to read the results.

Exit status: 0 measured; 1 --require was not met; 2 could not measure.
"""

import dataclasses
import os
import shutil
import signal
import sys
import tempfile

import books
import chart
import compare
import guests
import idle
import latency
from machine import HugePages, Placement, check_cpus, compile_load
from options import BOOKS, GUESTS, IDLE, LATENCY, SPEED, STAGES, parse_arguments
from process import BenchError, be_real_time
from programs import choose_programs, count_pages, refusal
import report
from session import Place
import stages


def measure_speed(case, programs, placement, options, make_place):
    """The summaries of a case, told on standard output while it goes on."""
    names = [name for name, _ in programs]
    for name, program in programs:
        if refusal(program, case):
            print(f"  left out: {name}: {refusal(program, case)}")
    rounds, last_words = compare.compare(
        case, programs, placement, options, make_place, lambda one: report.tell_round(one, names))
    summaries = compare.summarise(case, rounds)
    for summary in summaries:
        report.tell_summary(summary, names)
    if not summaries:
        print("  no round of undisturbed windows: wait for a quieter machine, use more --rounds, or --nice -20")
    for name, line in last_words:
        if line:
            print(f"  {name}: {line}", flush=True)
    return summaries


def load_of_speed(case):
    """testpmd, unless there are two guests, or the other end of the NIC's cable as well."""
    return "guest_load" if case.n_guests > 1 or case.nic_cuts else None


@dataclasses.dataclass(frozen=True)
class Kind:
    """Something to measure."""

    measure: object   # what it is of one case
    markdown: object  # how the results of all cases are written
    prepare: object   # the programs, out of the command line
    load: object      # which load, of those that are to be compiled, a case needs; None: none


KINDS = {
    SPEED: Kind(measure_speed, report.markdown, choose_programs, load_of_speed),
    LATENCY: Kind(latency.measure, latency.markdown, choose_programs, lambda case: "paced_load"),
    BOOKS: Kind(measure_speed, books.markdown, books.prepare, load_of_speed),
    GUESTS: Kind(guests.measure, guests.markdown, guests.prepare, lambda case: "guest_load"),
    STAGES: Kind(stages.measure, stages.markdown, stages.prepare, load_of_speed),
    IDLE: Kind(idle.measure, idle.markdown, idle.prepare, lambda case: None),
}


def measure_all(options, programs, directory):
    """{case: what was measured} for every case."""
    kind = KINDS[options.what]
    placement = Placement(directory, (options.dut_cpu, options.gen_cpu), options.sibling_ns, options.near_ns)
    results = {}
    options.load_program = None  # testpmd is the load
    for load in {kind.load(case) for case in options.cases} - {None}:
        options.load_program = compile_load(directory, load)
    with HugePages(os.path.join(directory, "hugepages"), count_pages(programs, options.more_mb)) as pages:
        def make_place(cpu):
            return Place(cpu, options.nice, directory, pages.path, f"dptap-bench-{os.getpid()}")

        for case in options.cases:
            print(f"{case}:", flush=True)
            results[case] = kind.measure(case, programs, placement, options, make_place)
    return results


def bench(options):
    """Measure, write, judge; returns the exit status."""
    if os.geteuid() != 0:
        raise BenchError("needs root (hugepages, mounts, DPDK): sudo scripts/bench")
    be_real_time(os.SCHED_RESET_ON_FORK)  # it sleeps nearly always, but its clock decides how long a window was
    check_cpus(options.dut_cpu, options.gen_cpu)
    if options.chart:
        chart.check(options.chart)
    programs = KINDS[options.what].prepare(options)
    names = [name for name, _ in programs]
    directory = tempfile.mkdtemp(prefix="dptap-bench-")
    try:
        results = measure_all(options, programs, directory)
    except BenchError as error:
        raise BenchError(f"{error}\nlogs: {directory}") from error
    except BaseException:
        shutil.rmtree(directory)
        raise
    shutil.rmtree(directory)

    os.makedirs(os.path.dirname(os.path.abspath(options.markdown)), exist_ok=True)
    with open(options.markdown, "w", encoding="utf-8") as file:
        file.write(KINDS[options.what].markdown(results, names, options))
    print(f"table: {options.markdown}")
    if options.chart:
        chart.draw(options.chart, results, names, options)
        print(f"chart: {options.chart}")

    if options.require is None:
        return 0
    verdict, why = compare.judge(results, names, options.require)
    print(why)
    return {True: 0, False: 1, None: 2}[verdict]


def main():
    """Turn errors and signals into messages and statuses."""
    options = parse_arguments(__doc__)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))  # unwinds, as Ctrl-C does
    try:
        return bench(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("bench: interrupted; everything is cleaned up", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
