#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Either side dies by SIGKILL and comes back, in both socket modes, and the other side carries on.

The sockets of vm0 and vm2 are dptap's, and QEMU connects again and again; those of vm1 and vm3 are QEMU's, and dptap
does. vm2 and vm3 have packed rings, which do not tell where a dptap that died has been.
"""

import contextlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import Rig, features_of
from testing import check, equal, main, scenario, wait_until


MIB = 1 << 20

PACKED = ("vm2", "vm3")
WAITING = {"vm0": "LISTENING", "vm1": "CONNECTING", "vm2": "LISTENING", "vm3": "CONNECTING"}


@scenario
def guests_in_each_socket_mode():
    packed = {"options": {"packed": True}}
    with Rig({}, {"server": True}, packed, {"server": True, **packed}) as rig:
        rig.boot()
        rig.check_drops("NO_SOCKET")
        for name in rig.guests:
            equal("packed" in features_of(rig.dptap.port(name)), name in PACKED, f"PACKED of {name}")
        yield rig
        rig.dptap.stop()
        for name, state in WAITING.items():
            check(os.path.exists(rig.dptap.socket(name)) == (state == "CONNECTING"),
                  f"socket of {name} after a clean stop")


def restart(rig):
    """SIGKILL to dptap, and a new one."""
    rig.dptap.kill()
    rig.dptap.start()
    for name in rig.guests:
        rig.dptap.wait_state(name, "RUNNING")


def check_that_none_has_rebooted(rig):
    for name, guest in rig.guests.items():
        equal(guest.run("cat /proc/sys/kernel/random/boot_id").strip(), guest.boot_id, f"boot id of {name}")


@guests_in_each_socket_mode.test
def guests_survive_the_death_of_dptap(rig):
    for _ in range(2):
        restart(rig)

        for guest in rig.guests.values():
            rig.wire.wait_for(guest.address)
        for name in rig.guests:
            rig.into(name, MIB)
            rig.out_of(name, MIB)
    check_that_none_has_rebooted(rig)


@guests_in_each_socket_mode.test
def connections_outlive_dptap(rig):
    digests = {name: guest.make_data(2 * MIB) for name, guest in rig.guests.items()}

    with contextlib.ExitStack() as stack:
        traffic = []
        for name in rig.guests:
            traffic.append(stack.enter_context(rig.repeating(lambda vm=name: rig.into(vm, 2 * MIB))))
            traffic.append(stack.enter_context(rig.repeating(lambda vm=name: rig.fetch(vm, digests[vm]))))
        for _ in range(3):
            enough = [len(rounds) + 1 for rounds in traffic]
            wait_until(lambda n=enough: all(len(r) >= least for r, least in zip(traffic, n)), "traffic to go on")
            restart(rig)
        enough = [len(rounds) + 1 for rounds in traffic]
        wait_until(lambda: all(len(r) >= least for r, least in zip(traffic, enough)), "traffic to go on")
    check_that_none_has_rebooted(rig)


@guests_in_each_socket_mode.test
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
    for sender, receiver in (("vm0", "vm1"), ("vm1", "vm2"), ("vm2", "vm3"), ("vm3", "vm0")):
        rig.between(sender, receiver, MIB)


@guests_in_each_socket_mode.test
def guests_may_die_under_traffic(rig):
    for name in ("vm0", "vm2"):
        with rig.repeating(lambda vm=name: rig.flood(vm, 2000)) as rounds:
            wait_until(lambda: rounds, "the first round of traffic")
            rig[name].kill()
            n_rounds = len(rounds)
            wait_until(lambda: len(rounds) > n_rounds, "traffic to go on")
        rig.dptap.wait_state(name, "LISTENING")

    rig.dptap.settle()
    rig.wire.ping(rig["vm1"].address)
    rig.check_drops("NO_SOCKET", "FULL_RING")


if __name__ == "__main__":
    main()
