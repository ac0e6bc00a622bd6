#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guest memory changes under traffic: modules are plugged in, the guest reboots."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import Rig
from testing import check, main, scenario, wait_until


MIB = 1 << 20


@scenario
def a_guest_with_room_for_memory():
    with Rig({"hotplug": True}) as rig:
        rig.boot()
        yield rig
        rig.check_drops("FULL_RING", "NO_SOCKET")
        rig.dptap.stop()


@a_guest_with_room_for_memory.test
def memory_can_be_plugged_under_traffic(rig):
    guest = rig["vm0"]
    digest = guest.make_data(2 * MIB)
    before = guest.memory_kib()

    def traffic():
        rig.into("vm0", 2 * MIB)
        rig.fetch("vm0", digest)

    with rig.repeating(traffic) as rounds:
        wait_until(lambda: rounds, "the first round of traffic")
        guest.plug_memory()
        guest.plug_memory()
        n_rounds = len(rounds)
        wait_until(lambda: len(rounds) >= n_rounds + 2, "traffic to go on")

    check(guest.memory_kib() > before + 250000, "the guest has not got its memory")
    # from now on the kernel in the guest takes its buffers from the new memory first
    rig.into("vm0", 4 * MIB)
    rig.out_of("vm0", 4 * MIB)


@a_guest_with_room_for_memory.test
def a_guest_can_reboot_under_traffic(rig):
    guest = rig["vm0"]
    boot_id = guest.boot_id

    with rig.repeating(lambda: rig.flood("vm0", 500)):
        guest.run("(usleep 100000; reboot -f) >/dev/null 2>&1 &")
        guest.wait_ready()

    check(guest.boot_id != boot_id, "the guest has not booted anew")
    rig.dptap.wait_state("vm0", "RUNNING")
    rig.wire.wait_for(guest.address)
    rig.into("vm0", MIB)
    rig.out_of("vm0", MIB)


if __name__ == "__main__":
    main()
