# SPDX-License-Identifier: BSD-3-Clause
"""The command line of the benchmark, and the rows that it asks for."""

import argparse
import dataclasses
import os

from forwarder import TESTPMD
from idle import RESTS
from machine import ROOT
from ovs import OVS
from session import GSO, GUEST_TO_GUEST, GUEST_TO_NIC, LOOP, NIC_TO_GUEST, SCENARIOS, Case

ROWS = [Case(scenario, size) for scenario in SCENARIOS for size in (64, 1518)] + [
    Case(GUEST_TO_GUEST, GSO),
    Case(GUEST_TO_NIC, GSO),
    Case(GUEST_TO_NIC, 64, "packed_vq=1"),
    Case(NIC_TO_GUEST, 64, "packed_vq=1"),
]
"""What is measured unless one of --scenario, --size, --virtio and --queues chooses otherwise."""


SPEED = "speed"
LATENCY = "latency"
BOOKS = "books"
GUESTS = "guests"
STAGES = "stages"
IDLE = "idle"


@dataclasses.dataclass(frozen=True)
class Default:
    """What is measured unless the command line chooses otherwise."""

    rows: list
    scenarios: tuple  # all that there are
    rounds: int
    starts: int
    window: float


DEFAULTS = {
    SPEED: Default(ROWS, SCENARIOS, 24, 3, 0.7),
    LATENCY: Default([Case(scenario, size) for scenario in (LOOP, GUEST_TO_GUEST) for size in (64, 1518)],
                     (LOOP, GUEST_TO_GUEST), 8, 1, 0.7),
    BOOKS: Default([Case(scenario, 64) for scenario in (GUEST_TO_NIC, NIC_TO_GUEST, GUEST_TO_GUEST)],
                   (GUEST_TO_NIC, NIC_TO_GUEST, GUEST_TO_GUEST), 48, 8, 0.3),
    GUESTS: Default([Case(scenario, 64) for scenario in (NIC_TO_GUEST, GUEST_TO_NIC)],
                    (NIC_TO_GUEST, GUEST_TO_NIC), 16, 2, 0.3),
    STAGES: Default([Case(scenario, 64) for scenario in SCENARIOS], SCENARIOS, 8, 1, 0.3),
    IDLE: Default(RESTS, (), 6, 2, 1),
}


def chosen_cases(options, parser):
    """The rows that the command line asks for."""
    default = DEFAULTS[options.what]
    if not (options.scenario or options.size or options.virtio or options.queues):
        return default.rows
    cases = []
    for scenario in (options.scenario or ",".join(default.scenarios)).split(","):
        if scenario not in default.scenarios:
            parser.error(f"--scenario: no '{scenario}', only {', '.join(default.scenarios)}")
        for size in (options.size or "64,1518").split(","):
            if size == GSO and scenario not in (GUEST_TO_GUEST, GUEST_TO_NIC):
                parser.error(f"--size {GSO}: only from guests; no NIC here merges segments")
            if size == GSO and scenario == GUEST_TO_NIC and (options.queues or 1) > 1:
                parser.error(f"--queues: the NIC that cuts (--size {GSO}) has one")
            if size != GSO and not (size.isdigit() and 64 <= int(size) <= 1518):
                parser.error(f"--size: '{size}' is neither a number from 64 to 1518 nor '{GSO}'")
            cases.append(Case(scenario, size if size == GSO else int(size), options.virtio or "", options.queues or 1))
    return cases


def check_peers(options, parser):
    """Each peer once, and none that cannot do what is asked of it."""
    peers = options.peer.split(",")
    if not all(peers) or len(set(peers)) < len(peers):
        parser.error(f"--peer: '{options.peer}' names one twice, or none")
    if options.calibrate and len(peers) > 1:
        parser.error("--calibrate: only one --peer can be held against itself")
    if max(options.queues or 1, options.peer_queues or 1) > 1 and {TESTPMD, OVS} & set(peers):
        parser.error(f"--queues: {TESTPMD} and {OVS} would want as many queues of the NIC; name a dptap as --peer")


def defaults(name):
    """What a setting is for each thing to measure, in words."""
    return ", ".join(f"{what} {getattr(default, name):g}" for what, default in DEFAULTS.items())


def parse_arguments(description):
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="bench", description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("what", nargs="?", choices=DEFAULTS, default=SPEED, help="what to measure (default: %(default)s)")
    add("--scenario", help=f"which ways, separated by commas: {', '.join(SCENARIOS)} (default: all)")
    add("--size", help="bytes of a frame with its FCS, separated by commas, 64 to 1518 (default: 64,1518); "
        f"or {GSO}: TCP of 64 KiB that guests leave to each other, or to the NIC, uncut")
    add("--rounds", type=int, help=f"rounds of windows for each row (default: {defaults('rounds')})")
    add("--starts", type=int, help=f"fresh starts of all over which they spread (default: {defaults('starts')})")
    add("--window", type=float, help=f"seconds of a window (default: {defaults('window')})")
    add("--dut-cpu", type=int, default=0, help="CPU of the forwarder (default: %(default)s)")
    add("--gen-cpu", type=int, default=1, help="CPU of the load (default: %(default)s)")
    add("--virtio", help="more settings of the load's net_virtio_user, as packed_vq=1,mrg_rxbuf=0")
    add("--queues", type=int, help="queue pairs of each guest (default: 1)")
    add("--peer-virtio", help="the same for the peer's load (default: as --virtio)")
    add("--peer-queues", type=int, help="the same for the peer (default: as --queues)")
    add("--mode", choices=("passthru", "bridge"), default="passthru", help="of dptap's uplink (default: %(default)s)")
    add("--peer-mode", choices=("passthru", "bridge"), help="the same for a dptap that is a peer (default: as --mode)")
    add("--dptap", default=os.path.join(ROOT, "build", "app", "dptap"), metavar="PATH",
        help="the dptap to measure (default: %(default)s)")
    add("--peer", default=TESTPMD, help=f"what to compare it with, separated by commas: {TESTPMD}, {OVS} (OVS-DPDK; "
        "skipped where it is not installed), or the path of another dptap (default: %(default)s)")
    add("--calibrate", action="store_true", help="the peer against itself: how far ratios differ from 1 by chance")
    add("--nice", type=int, default=0,
        help="nice value of the measured processes; -20 keeps other programs out (default: %(default)s)")
    add("--sibling-ns", type=float, default=36, help="one-way latency below it: one core (default: %(default)s)")
    add("--near-ns", type=float, default=110, help="one-way latency below it: one cache (default: %(default)s)")
    add("--markdown", default=os.path.join(ROOT, "build", "bench.md"), metavar="FILE",
        help="where the table goes (default: %(default)s)")
    add("--chart", metavar="FILE", help="draw the speeds, as ratios to testpmd (or the first peer), into a .png, .svg "
        "or .pdf; needs Debian's python3-matplotlib")
    add("--require", type=float, metavar="RATIO", help="exit with 1 if dptap's speed is below that anywhere")
    parser.set_defaults(counted_by_load=False, more_mb=0)
    options = parser.parse_args()
    for name in ("rounds", "starts", "window"):
        if getattr(options, name) is None:
            setattr(options, name, getattr(DEFAULTS[options.what], name))
    if options.what != SPEED and (options.chart or options.require is not None or options.calibrate):
        parser.error(f"--chart, --require and --calibrate are for {SPEED}")
    if options.what == IDLE and (options.scenario or options.size or options.virtio or options.queues):
        parser.error(f"--scenario, --size, --virtio and --queues are not for {IDLE}, where nothing is sent")
    options.cases = chosen_cases(options, parser)
    for queues in (options.queues, options.peer_queues):
        if queues is not None and not 1 <= queues <= 16:
            parser.error(f"--queues, --peer-queues: {queues} is not a number from 1 to 16")
    check_peers(options, parser)
    if not 1 <= options.starts <= options.rounds or options.window < 0.1:
        parser.error("--starts must be at least 1, --rounds no fewer, and --window at least 0.1")
    return options
