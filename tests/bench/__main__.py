# SPDX-License-Identifier: BSD-3-Clause
"""dptap against dpdk-testpmd on the same load: throughput and cycles per packet, as ratios.

The two run at the same time, each with a load of its own, but only one of them is awake: windows of the one and the
other follow each other closely, and only the ratio of neighbours counts, because on most machines (virtual ones above
all) the figures themselves drift. README.md beside this file says how to read the result.

Exit status: 0 measured; 1 --require was not met; 2 could not measure.
"""

import os
import shutil
import signal
import sys
import tempfile

import compare
from forwarder import TESTPMD
from guest_load import compile_guest_load
from machine import HugePages, Placement, check_cpus
from options import parse_arguments
from process import BenchError, be_real_time
import report
from session import Place

HUGE_PAGES = 4 * 256 + 64  # four processes with 512 MB each, and something for what they ask for later


def choose_programs(options):
    """[(name, program)] of subject and peer; their files must be there."""
    subject = options.peer if options.calibrate else options.dptap
    for program in (subject, options.peer):
        if program != TESTPMD and not os.access(program, os.X_OK):
            raise BenchError(f"{program}: no such program; build first: meson setup build && ninja -C build")
    for tool in ("dpdk-testpmd", "setpriv", "taskset", "stdbuf", "cc"):
        if not shutil.which(tool):
            raise BenchError(f"{tool} is not installed (packages: dpdk, util-linux, coreutils, gcc)")
    names = [TESTPMD if program == TESTPMD else "dptap" for program in (subject, options.peer)]
    if names[0] == names[1]:
        names[1] = ("same-" if subject == options.peer else "other-") + names[1]
    return [(names[0], subject), (names[1], options.peer)]


def measure_all(options, programs, directory):
    """{case: its summaries} for every case, told on standard output while it goes on."""
    names = [name for name, _ in programs]
    placement = Placement(directory, (options.dut_cpu, options.gen_cpu), options.sibling_ns, options.near_ns)
    results = {}
    options.guest_load = compile_guest_load(directory) if any(c.n_guests > 1 for c in options.cases) else None
    with HugePages(os.path.join(directory, "hugepages"), HUGE_PAGES) as pages:
        def make_place(cpu):
            return Place(cpu, options.nice, directory, pages.path, f"dptap-bench-{os.getpid()}")

        for case in options.cases:
            print(f"{case}:", flush=True)
            pairs, last_words = compare.compare(
                case, programs, placement, options, make_place, lambda pair: report.tell_round(pair, names))
            results[case] = compare.summarise(case, pairs)
            for summary in results[case]:
                report.tell_summary(summary, names)
            if not results[case]:
                print("  no pair of undisturbed windows: wait for a quieter machine, use more --rounds, or --nice -20")
            for line in filter(None, last_words):
                print(f"  {names[0]}: {line}", flush=True)
    return results


def bench(options):
    """Measure, write, judge; returns the exit status."""
    if os.geteuid() != 0:
        raise BenchError("needs root (hugepages, mounts, DPDK): sudo scripts/bench")
    be_real_time(os.SCHED_RESET_ON_FORK)  # it sleeps nearly always, but its clock decides how long a window was
    check_cpus(options.dut_cpu, options.gen_cpu)
    programs = choose_programs(options)
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
        file.write(report.markdown(results, [name for name, _ in programs], options))
    print(f"table: {options.markdown}")

    if options.require is None:
        return 0
    verdict, why = compare.judge(results, options.require)
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
