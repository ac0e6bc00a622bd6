# SPDX-License-Identifier: BSD-3-Clause
"""Which programs are compared: what they are called, what they need, and how each is made."""

import os
import shutil

from forwarder import TESTPMD, Dptap, Testpmd
from machine import PAGE_BYTES, ROOT, run
import ovs
from ovs import OVS
from process import BenchError

LOAD_MB = 512
"""Of hugepages, for each process but the switch."""


def choose_programs(options):
    """[(name, program)] of the subject and its peers; their files must be there, but for a switch, which is skipped."""
    for tool in ("dpdk-testpmd", "setpriv", "taskset", "stdbuf", "cc"):
        if not shutil.which(tool):
            raise BenchError(f"{tool} is not installed (packages: dpdk, util-linux, coreutils, gcc)")
    peers = skip_missing(options.peer.split(","), ovs.is_installed())
    subject = peers[0] if options.calibrate else options.dptap
    for program in [subject] + peers:
        if program not in (TESTPMD, OVS) and not os.access(program, os.X_OK):
            raise BenchError(f"{program}: no such program; build first: meson setup build && ninja -C build")
    return name_programs([subject] + peers)


def build_variant(name, *settings):
    """Build dptap with other settings, beside this one; returns its path."""
    directory = os.path.join(ROOT, "build", "bench", name)
    if not os.path.exists(os.path.join(directory, "build.ninja")):
        run(["meson", "setup", directory, ROOT, *settings], f"cannot configure {directory}")
    print(f"building {directory}", flush=True)
    run(["ninja", "-C", directory, "app/dptap"], f"cannot build {directory}")
    return os.path.join(directory, "app", "dptap")


def skip_missing(peers, switch_is_installed):
    """The peers without a switch that is not there, told on standard output; BenchError if none is left."""
    if OVS not in peers or switch_is_installed:
        return peers
    left = [peer for peer in peers if peer != OVS]
    why = f"{OVS} is not installed (package: {ovs.PACKAGE}; its service need not run)"
    if not left:
        raise BenchError(f"{why}, and there is no other --peer")
    print(f"skipped: {why}", flush=True)
    return left


def name_programs(programs):
    """[(name, program)], each name another: what it is, and which of that kind if there are several."""
    named = {}
    for program in programs:
        kind = program if program in (TESTPMD, OVS) else "dptap"
        name = kind if kind not in named else ("same-" if program == programs[0] else "other-") + kind
        number = 2
        while name in named:
            name = f"other{number}-{kind}"
            number += 1
        named[name] = program
    return list(named.items())


def refusal(program, case):
    """Why a program cannot do what a case asks; empty if it can."""
    return f"it takes no frames of {case.length:,} bytes" if program == OVS and case.length > ovs.LONGEST else ""


def make_forwarder(name, program, place, wiring):
    """The forwarder that `program` names: "testpmd", "ovs", or the path of a dptap."""
    if program == TESTPMD:
        return Testpmd(name, place, wiring)
    if program == OVS:
        return ovs.Ovs(name, place, wiring)
    return Dptap(name, program, place, wiring)


def count_pages(programs, more_mb=0):
    """Hugepages for these, a load for each, more for others, and something for what they ask for later."""
    megabytes = sum(LOAD_MB + (ovs.MEMORY_MB + 256 if program == OVS else LOAD_MB) for _, program in programs)
    return (megabytes + more_mb << 20) // PAGE_BYTES + 64
