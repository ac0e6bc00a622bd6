#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Either side dies by SIGKILL and comes back, in both socket modes, and the other side carries on.

vm0's socket is dptap's, and QEMU connects again and again; vm1's is QEMU's, and dptap does.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import Rig
from testing import check, equal, main, scenario, wait_until


MIB = 1 << 20

WAITING = {"vm0": "LISTENING", "vm1": "CONNECTING"}


@scenario
def a_guest_in_each_socket_mode():
    with Rig({}, {"server": True}) as rig:
        rig.boot()
        rig.check_drops("NO_SOCKET")
        yield rig
        rig.dptap.stop()
        for name in ("vm0", "vm1"):
            check(os.path.exists(rig.dptap.socket(name)) == (name == "vm1"), f"socket of {name} after a clean stop")


@a_guest_in_each_socket_mode.test
def guests_survive_the_death_of_dptap(rig):
    for _ in range(2):
        rig.dptap.kill()
        rig.dptap.start()

        for name, guest in rig.guests.items():
            rig.dptap.wait_state(name, "RUNNING")
            rig.wire.wait_for(guest.address)
        for name in rig.guests:
            rig.into(name, MIB)
            rig.out_of(name, MIB)
    for name, guest in rig.guests.items():
        equal(guest.run("cat /proc/sys/kernel/random/boot_id").strip(), guest.boot_id, f"boot id of {name}")


@a_guest_in_each_socket_mode.test
def dptap_survives_the_death_of_a_guest(rig):
    for name, guest in rig.guests.items():
        rig.dptap.settle()
        guest.kill()
        rig.dptap.wait_state(name, WAITING[name])

        with rig.dptap.expect_drops({(name, "to_guest", "guest_not_connected"): 500}, [name]):
            rig.flood(name, 500)

    rig.boot()
    for name in rig.guests:
        rig.into(name, MIB)
        rig.out_of(name, MIB)
    rig.between("vm0", "vm1", MIB)
    rig.between("vm1", "vm0", MIB)


@a_guest_in_each_socket_mode.test
def a_guest_may_die_under_traffic(rig):
    with rig.repeating(lambda: rig.flood("vm0", 2000)) as rounds:
        wait_until(lambda: rounds, "the first round of traffic")
        rig["vm0"].kill()
        n_rounds = len(rounds)
        wait_until(lambda: len(rounds) > n_rounds, "traffic to go on")
    rig.dptap.wait_state("vm0", "LISTENING")

    rig.dptap.settle()
    rig.wire.ping(rig["vm1"].address)
    rig.check_drops("NO_SOCKET", "FULL_RING")


if __name__ == "__main__":
    main()
