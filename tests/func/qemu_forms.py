#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Linux guests in QEMU, one for each form that its virtio-net device can take, all on one bridge.

vm0 transitional, vm1 modern only, vm2 legacy only (10-byte headers), vm3 without mergeable receive buffers. The MAC
addresses of vm1 and vm3 are learnt.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import Rig
from testing import equal, main, scenario


MIB = 1 << 20

VERSION_1 = 1 << 32
MRG_RXBUF = 1 << 15


@scenario
def four_guests():
    machines = ({"form": "transitional"}, {"form": "modern", "learnt": True}, {"form": "legacy"},
                {"form": "transitional", "options": {"mrg_rxbuf": False}, "learnt": True})
    with Rig(*machines) as rig:
        rig.boot()
        yield rig
        rig.check_drops("FULL_RING", "NO_SOCKET")
        rig.dptap.stop()


@four_guests.test
def each_form_negotiates_its_own_features(rig):
    expected = {"vm0": VERSION_1 | MRG_RXBUF, "vm1": VERSION_1 | MRG_RXBUF, "vm2": MRG_RXBUF, "vm3": VERSION_1}

    for name, bits in expected.items():
        port = rig.dptap.port(name)
        equal(int(port["features"], 16) & (VERSION_1 | MRG_RXBUF), bits, f"VERSION_1 and MRG_RXBUF of {name}")
        equal(port["mergeable"], "yes" if bits & MRG_RXBUF else "no", f"mergeable of {name}")


@four_guests.test
def pings_are_answered_both_ways(rig):
    for guest in rig.guests.values():
        for size in (0, 56, 1472):
            rig.wire.ping(guest.address, size=size)
            guest.ping(rig.wire.address, size=size)


@four_guests.test
def tcp_into_each_guest_arrives_whole(rig):
    for name in rig.guests:
        rig.into(name, 4 * MIB)


@four_guests.test
def tcp_out_of_each_guest_arrives_whole(rig):
    for name in rig.guests:
        rig.out_of(name, 2 * MIB)


@four_guests.test
def tcp_between_guests_arrives_whole(rig):
    for sender, receiver in (("vm0", "vm1"), ("vm1", "vm2"), ("vm2", "vm3"), ("vm3", "vm0")):
        rig.between(sender, receiver, 2 * MIB)


if __name__ == "__main__":
    main()
