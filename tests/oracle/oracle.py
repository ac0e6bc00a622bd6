#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every (virtio_net_hdr, frame) is judged as the kernel's tap judges it: taken or dropped, why, and what comes out.

oracle.py [--seed N] [--cases N] [TEST...]   N random cases of that seed beside the fixed ones; by default another seed
                                             each time, which is printed
oracle.py --record [--cases N]               ask this kernel, and write the table that stands in for one without macvtap

The kernel is asked live where it can be; else its recorded answers count, for the fixed cases and those of the seed
that was recorded.
"""

import contextlib
import csv
import os
import platform
import sys
import time

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"),
                os.path.dirname(os.path.abspath(__file__))]

# pylint: disable=wrong-import-position
from back_end import DESTINATIONS, back_end
from cases import fixed, random_cases
from differences import DIFFERENCES, NAMES, expected, find
from kernel_tap import Answer, KernelTap
from guest import FEATURES, PACKED
from testing import Failure, Skip, check, main, scenario
from verdict import read_runs, shown, write_runs
import vhost_user as vu

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded.csv")
RECORDED_SEED = 1
COLUMNS = ("key", "case", "offloads", "errno", "drops", "runs")

SHOWN = 20
"""Disagreements that are printed in full."""


class Options:
    """What the command line says."""

    seed = None
    n_cases = 3000


def ask_kernel(kernel, cases):
    """The kernel's answers: [{offloads: Answer}, ...]."""
    full, bare = kernel.ask(cases, True), kernel.ask(cases, False)
    return [{True: with_, False: without} for with_, without in zip(full, bare)]


def record(n_cases):
    """Write the table."""
    cases = fixed() + random_cases(RECORDED_SEED, n_cases)
    with KernelTap() as kernel:
        answers = ask_kernel(kernel, cases)
    with open(TABLE, "w", newline="", encoding="ascii") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("kernel", platform.release(), len(cases)))
        out.writerow(COLUMNS)
        for case, answer in zip(cases, answers):
            for offloads, one in answer.items():
                out.writerow((case.key, case.name, "all" if offloads else "none", one.errno, " ".join(one.drops),
                              write_runs(one.runs)))
    print(f"{len(cases)} cases recorded")


class Recorded:
    """The kernel's answers as they were once."""

    def __init__(self):
        self.answers = {}
        with open(TABLE, newline="", encoding="ascii") as file:
            rows = csv.reader(file)
            self.release, n_cases = next(rows)[1:]
            next(rows)
            for key, _, offloads, errno_, drops, runs in rows:
                answer = Answer(errno_, drops.split(), read_runs(runs))
                self.answers.setdefault(key, {})[offloads == "all"] = answer
        self.cases = fixed()
        self.cases += random_cases(RECORDED_SEED, int(n_cases) - len(self.cases))

    def ask(self, cases):
        """[{offloads: Answer}, ...]; a case without an answer is the table's fault."""
        missing = [case for case in cases if case.key not in self.answers]
        check(not missing, f"{len(missing)} cases are not in {TABLE}, {missing[:1]} for one: oracle.py --record")
        return [self.answers[case.key] for case in cases]


class Stage:
    """`back_end` to be asked, and the kernel: `live`, or why not in `lacking`; `recorded` answers in any case."""

    def __init__(self, ours, live, lacking):
        self.back_end = ours
        self.live = live
        self.lacking = lacking
        self.recorded = Recorded()

    def kernel(self, cases):
        return ask_kernel(self.live, cases) if self.live else self.recorded.ask(cases)

    def compare(self, cases, flood=False):
        """Ask both about cases; fails with all disagreements. Says how much was compared."""
        begin = time.monotonic()
        theirs = self.kernel(cases)
        middle = time.monotonic()
        ours = self.back_end.ask(cases, flood)
        end = time.monotonic()
        wrong, explained = [], 0
        for case, answers, verdicts in zip(cases, theirs, ours):
            for name in DESTINATIONS:
                want, have = expected(answers, name), verdicts[name]
                if want == have:
                    continue
                if find(case, name, want, have):
                    explained += 1
                    continue
                wrong.append(f"{case} to {NAMES[name]}:\n    kernel  {shown(want)}\n    dptap   {shown(have)}")
        print(f"# {len(cases)} cases to {len(DESTINATIONS)} destinations: {explained} differences that are meant, "
              f"{len(wrong)} others; kernel {'live' if self.live else 'recorded'} in {middle - begin:.1f} s, "
              f"dptap in {end - middle:.1f} s", flush=True)
        for text in wrong[:SHOWN]:
            print("# " + text.replace("\n", "\n# "))
        check(not wrong, f"{len(wrong)} disagreements with the kernel's tap")


def both(rings):
    """The kernel, and a dptap with guests of such rings."""
    with contextlib.ExitStack() as stack:
        live = lacking = None
        try:
            live = stack.enter_context(KernelTap())
        except Skip as reason:
            lacking = reason
            print(f"# the kernel's recorded answers count: {reason}")
        yield Stage(stack.enter_context(back_end(rings)), live, lacking)


@scenario
def both_sides():
    yield from both(FEATURES)


@scenario
def both_sides_with_packed_rings():
    yield from both(PACKED | vu.F_IN_ORDER)


@both_sides.test
def each_question_is_answered_as_by_the_kernels_tap(stage):
    for difference in DIFFERENCES:
        difference.n = 0

    stage.compare(fixed())

    unused = [difference.name for difference in DIFFERENCES if not difference.n]
    check(not unused, f"differences that no fixed case shows: {unused}")
    for difference in DIFFERENCES:
        print(f"# {difference.n:4} x {difference.name}")


@both_sides.test
def so_are_random_ones(stage):
    if not stage.live:
        raise Skip(f"{stage.lacking}")
    seed = int.from_bytes(os.urandom(4), "big") if Options.seed is None else Options.seed
    print(f"# --seed {seed} --cases {Options.n_cases}", flush=True)

    stage.compare(random_cases(seed, Options.n_cases))


@both_sides_with_packed_rings.test
def so_are_the_recorded_random_ones(stage):
    stage.compare(stage.recorded.cases[len(fixed()) :])


@both_sides_with_packed_rings.test
def so_is_what_goes_to_all_at_once(stage):
    stage.compare(stage.recorded.cases, flood=True)


@both_sides.test
def the_recorded_answers_are_this_kernels(stage):
    if not stage.live:
        raise Skip(f"{stage.lacking}")
    if platform.release().split(".")[:2] != stage.recorded.release.split(".")[:2]:
        raise Skip(f"they are those of Linux {stage.recorded.release}")

    now = stage.kernel(stage.recorded.cases)

    for case, answer, before in zip(stage.recorded.cases, now, stage.recorded.ask(stage.recorded.cases)):
        if answer != before:
            raise Failure(f"{case}: recorded {before}, now {answer}")


def arguments(argv):
    """Take our own options out of the arguments; what is left names tests."""
    names = []
    argv = list(argv)
    while argv:
        word = argv.pop(0)
        if word == "--record":
            record(int(argv[1]) if argv[:1] == ["--cases"] else 1000)
            sys.exit(0)
        elif word == "--seed":
            Options.seed = int(argv.pop(0))
        elif word == "--cases":
            Options.n_cases = int(argv.pop(0))
        else:
            names.append(word)
    return names


if __name__ == "__main__":
    main(arguments(sys.argv[1:]))
