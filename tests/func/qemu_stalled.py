#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest that does not read loses exactly what its lane and its ring cannot hold, and nobody else loses anything."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import Rig
from testing import check, equal, main, scenario, wait_until


MIB = 1 << 20

QUEUE_LEN = 1000
RING = 256
"""Entries of QEMU's receive ring, one frame each at this size: the most that a frozen guest still takes."""


@scenario
def two_guests():
    with Rig({}, {}, queue_len=QUEUE_LEN) as rig:
        rig.boot()
        rig.check_drops("NO_SOCKET")
        yield rig
        rig.dptap.stop()


def to_guest(rig, name):
    return rig.dptap.port(name)["to_guest"]


def moved(before, after):
    return {key: after[key] - before[key] for key in after}


@two_guests.test
def a_frozen_guest_loses_exactly_what_does_not_fit(rig):
    frozen = rig["vm0"]
    known = frozen.received_packets()
    rig.dptap.settle()
    before, drops_before = to_guest(rig, "vm0"), rig.dptap.drops("vm0")
    frozen.freeze()

    rig.flood("vm0", 5000)
    rig.dptap.settle(held=QUEUE_LEN)

    during = moved(before, to_guest(rig, "vm0"))
    equal(during["received"], 5000, "packets for the frozen guest")
    equal(during["held"], QUEUE_LEN, "packets held for it")
    check(during["delivered"] <= RING, f"{during['delivered']} packets were put into its ring of {RING}")
    equal(during["dropped"], 5000 - QUEUE_LEN - during["delivered"], "packets dropped")
    drops = rig.dptap.drops("vm0")
    changed = {key: n - drops_before.get(key, 0) for key, n in drops.items() if n != drops_before.get(key, 0)}
    equal(changed, {("to_guest", "FULL_RING", "lane_guest_no_buffers"): during["dropped"]}, "drops by cause")

    # meanwhile the other one works as ever
    rig.wire.ping(rig["vm1"].address)
    rig.into("vm1", 2 * MIB)
    rig.out_of("vm1", MIB)

    frozen.thaw()
    rig.dptap.settle()
    after = moved(before, to_guest(rig, "vm0"))
    equal(after["delivered"], during["delivered"] + QUEUE_LEN, "packets delivered once it runs again")
    equal(after["dropped"], during["dropped"], "packets dropped once it runs again")
    equal(frozen.received_packets() - known, after["delivered"], "packets that the guest itself counted")
    rig.wire.ping(frozen.address)


@two_guests.test
def a_guest_paused_by_its_monitor_has_its_packets_counted_as_no_socket(rig):
    rig.dptap.settle()
    before, drops_before = to_guest(rig, "vm0"), rig.dptap.drops("vm0")
    rig["vm0"].qmp("stop")
    wait_until(lambda: rig.dptap.state("vm0") != "RUNNING", "dptap to see the queue stopped")

    rig.flood("vm0", 3000)
    rig.dptap.settle()

    during = moved(before, to_guest(rig, "vm0"))
    equal((during["received"], during["delivered"], during["dropped"]), (3000, 0, 3000), "received, delivered, dropped")
    drops = rig.dptap.drops("vm0")
    changed = {key: n - drops_before.get(key, 0) for key, n in drops.items() if n != drops_before.get(key, 0)}
    equal(changed, {("to_guest", "NO_SOCKET", "guest_queue_stopped"): 3000}, "drops by cause")

    rig["vm0"].qmp("cont")
    rig.dptap.wait_state("vm0", "RUNNING")
    rig.wire.wait_for(rig["vm0"].address)
    rig.into("vm0", MIB)


@two_guests.test
def a_link_that_the_monitor_takes_down_and_up_comes_back(rig):
    rig["vm0"].qmp("set_link", name="n0", up=False)
    wait_until(lambda: rig.dptap.state("vm0") != "RUNNING", "dptap to see the queue stopped")
    check(not rig.wire.answers(rig["vm0"].address), "vm0 answers although its link is down")

    rig["vm0"].qmp("set_link", name="n0", up=True)

    rig.dptap.wait_state("vm0", "RUNNING")
    rig.wire.wait_for(rig["vm0"].address)
    rig.into("vm0", MIB)


if __name__ == "__main__":
    main()
