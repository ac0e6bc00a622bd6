#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests in QEMU, one for each form that its virtio-net device can take, all on one bridge.

The MAC addresses of vm1, vm3 and vm5 are learnt.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import Rig, features_of
from testing import check, equal, main, scenario


MIB = 1 << 20

OFFLOADS = {"csum", "guest_csum", "guest_tso4", "guest_tso6", "guest_ecn", "host_tso4", "host_tso6", "host_ecn"}

NO_OFFLOADS = {name: False for name in OFFLOADS | {"guest_ufo", "host_ufo"}}

SIMPLE = {"mrg_rxbuf": False, "indirect_desc": False, "event_idx": False}

COMMON = OFFLOADS | {"mrg_rxbuf", "indirect_desc", "event_idx"}
"""What Linux takes from a device of any form, if QEMU is not told to hide it."""

JUMBO = 9000

FORMS = {
    # name: (what the machine is like, the features that its driver must have negotiated, and must not)
    "vm0": ({}, COMMON | {"version_1"}, {"packed", "mtu"}),
    "vm1": ({"form": "modern", "learnt": True}, COMMON | {"version_1"}, {"packed"}),
    # headers of 10 bytes
    "vm2": ({"form": "legacy"}, COMMON, {"version_1", "packed"}),
    "vm3": ({"options": {"mrg_rxbuf": False}, "learnt": True}, COMMON - {"mrg_rxbuf"} | {"version_1"}, {"mrg_rxbuf"}),
    "vm4": ({"options": {"packed": True}}, COMMON | {"version_1", "packed"}, {"mtu"}),
    "vm5": ({"options": {"packed": True, **SIMPLE}, "learnt": True},
            OFFLOADS | {"version_1", "packed"}, {"mrg_rxbuf", "indirect_desc", "event_idx"}),
    # as little as there can be
    "vm6": ({"form": "legacy", "options": {**SIMPLE, **NO_OFFLOADS}}, set(), COMMON | {"version_1", "packed"}),
    "vm7": ({"options": {"host_mtu": JUMBO, "rx_queue_size": 1024}}, COMMON | {"version_1", "mtu"}, {"packed"}),
    "vm8": ({"options": {"host_mtu": JUMBO, "packed": True, **NO_OFFLOADS}},
            COMMON - OFFLOADS | {"version_1", "mtu", "packed"}, OFFLOADS),
}


@scenario
def guests_of_all_forms():
    with Rig(*(machine for machine, _, _ in FORMS.values())) as rig:
        rig.boot()
        yield rig
        rig.check_drops("FULL_RING", "NO_SOCKET")
        rig.dptap.stop()


@guests_of_all_forms.test
def each_form_negotiates_its_own_features(rig):
    for name, (_, expected, forbidden) in FORMS.items():
        port = rig.dptap.port(name)
        found = features_of(port)
        equal((expected - found, forbidden & found), (set(), set()), f"features that {name} lacks, and should lack")
        equal(port["mergeable"], "yes" if "mrg_rxbuf" in found else "no", f"mergeable of {name}")


@guests_of_all_forms.test
def pings_are_answered_both_ways(rig):
    for guest in rig.guests.values():
        for size in (0, 56, 1472):
            rig.wire.ping(guest.address, size=size)
            guest.ping(rig.wire.address, size=size)


@guests_of_all_forms.test
def tcp_into_each_guest_arrives_whole(rig):
    for name in rig.guests:
        rig.into(name, 4 * MIB)


@guests_of_all_forms.test
def tcp_out_of_each_guest_arrives_whole(rig):
    for name in rig.guests:
        rig.out_of(name, 2 * MIB)


@guests_of_all_forms.test
def tcp_between_guests_arrives_whole(rig):
    names = list(FORMS)
    for distance in (1, 4):
        for number, sender in enumerate(names):
            rig.between(sender, names[(number + distance) % len(names)], 2 * MIB)


@guests_of_all_forms.test
def jumbo_frames_pass_between_guests_of_one_mtu(rig):
    for name, guest in rig.guests.items():
        mtu = int(guest.run("cat /sys/class/net/eth0/mtu"))
        equal(mtu, JUMBO if "mtu" in FORMS[name][1] else 1500, f"MTU of {name}")

    for sender, receiver in (("vm7", "vm8"), ("vm8", "vm7")):
        before = rig.dptap.port(receiver)["to_guest"]
        rig[sender].ping(rig[receiver].address, size=JUMBO - 28)
        after = rig.dptap.port(receiver)["to_guest"]
        n_packets = after["delivered"] - before["delivered"]
        check(after["delivered_bytes"] - before["delivered_bytes"] > 5 * JUMBO and n_packets < 30,
              f"{n_packets} packets into {receiver}: the pings came in pieces")


if __name__ == "__main__":
    main()
