#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Guests with several queue pairs: only those that the driver has enabled carry traffic, whatever it changes.

vm0 has four pairs and two CPUs, vm1 two pairs and one CPU (a driver enables no more pairs than it has CPUs until it is
told to), vm2 four pairs on packed rings. Every lane holds more than all connections together can have on their way: a
drop for want of room would be a loss.
"""

import concurrent.futures
import hashlib
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import DATA_PORT, SHA256_PORT, Rig, features_of
from testing import check, equal, main, scenario, wait_until


MIB = 1 << 20

QUEUE_LEN = 4096
FLOWS = 6
"""Connections at a time."""

PAIRS = {"vm0": 4, "vm1": 2, "vm2": 4}
CPUS = {"vm0": 2, "vm1": 1, "vm2": 2}


@scenario
def guests_with_several_queue_pairs():
    machines = [{"queues": PAIRS[name], "smp": CPUS[name], "settings": {"queues": PAIRS[name]},
                 "options": {"packed": name == "vm2"}} for name in PAIRS]
    with Rig(*machines, queue_len=QUEUE_LEN, n_workers=2, memory=2048) as rig:
        rig.boot()
        rig.check_drops("NO_SOCKET")
        rig.dropped_at_boot = rig.dptap.drops()
        rig.data = os.urandom(MIB)
        rig.digests = {name: guest.make_data(MIB) for name, guest in rig.guests.items()}
        yield rig
        check_no_drops(rig)
        rig.dptap.stop()


def check_no_drops(rig):
    rig.dptap.settle()
    equal(rig.dptap.drops(), rig.dropped_at_boot, "drops, since the guests were up")


def set_pairs(guest, count):
    guest.run(f"ethtool -L eth0 combined {count}")


def pairs(guest):
    """(pairs in use, pairs there are), as the guest's driver says."""
    counts = re.findall(r"Combined:\s+(\d+)", guest.run("ethtool -l eth0"))
    return int(counts[1]), int(counts[0])


def received_by_queue(guest):
    """Packets that each receive queue of the guest has got."""
    found = re.findall(r"rx_queue_(\d+)_packets: (\d+)", guest.run("ethtool -S eth0"))
    return [int(count) for _, count in sorted(found, key=lambda item: int(item[0]))]


def side_by_side(rig, name):
    """That many connections at a time, half of them into the guest, half out of it."""
    address = rig[name].address

    def into():
        answer = rig.wire.converse(address, SHA256_PORT, rig.data)
        equal(answer.decode().split()[:1], [hashlib.sha256(rig.data).hexdigest()], f"SHA-256 of a flow into {name}")

    def out_of():
        data = rig.wire.converse(address, DATA_PORT)
        equal(hashlib.sha256(data).hexdigest(), rig.digests[name], f"SHA-256 of a flow out of {name}")

    with concurrent.futures.ThreadPoolExecutor(FLOWS) as pool:
        for flow in [pool.submit((into, out_of)[number % 2]) for number in range(FLOWS)]:
            flow.result()


def check_counts(rig, name, before):
    """What dptap has put into the guest's rings is what its driver found there, and the other way round."""
    guest = rig[name]

    def agree():
        # a driver counts what it sent when it next looks: the frame makes it look, and asks for no answer
        rig.flood(name, 1)
        rig.dptap.settle()
        now = counts(rig, name)
        agree.moved = [after - earlier for after, earlier in zip(now, before)]
        return agree.moved[0] == agree.moved[1] and agree.moved[2] == agree.moved[3]

    wait_until(agree, lambda: f"{guest.name}'s counts and dptap's to agree: (to_guest delivered, rx_packets, "
               f"from_guest received, tx_packets) grew by {agree.moved}")


def counts(rig, name):
    port = rig.dptap.port(name)
    return (port["to_guest"]["delivered"], rig[name].received_packets(),
            port["from_guest"]["received"], rig[name].sent_packets())


GUESTS = guests_with_several_queue_pairs


@GUESTS.test
def a_driver_starts_with_as_many_pairs_as_it_has_cpus(rig):
    for name, guest in rig.guests.items():
        equal(pairs(guest), (CPUS[name], PAIRS[name]), f"pairs in use and at hand of {name}")
        found = features_of(rig.dptap.port(name))
        equal(("mq" in found, "packed" in found), (True, name == "vm2"), f"MQ and PACKED of {name}")
        for size in (56, 1472):
            rig.wire.ping(guest.address, size=size)
            guest.ping(rig.wire.address, size=size)


@GUESTS.test
def flows_into_a_guest_spread_over_the_enabled_queues_alone(rig):
    for name in PAIRS:
        guest = rig[name]
        for count in (PAIRS[name], 1, 2):
            set_pairs(guest, count)
            equal(pairs(guest), (count, PAIRS[name]), f"pairs in use and at hand of {name}")
            rig.dptap.settle()
            before = received_by_queue(guest)
            moved = []

            def all_enabled_got_some():
                side_by_side(rig, name)
                moved[:] = [now - earlier for now, earlier in zip(received_by_queue(guest), before)]
                return all(moved[:count])

            wait_until(all_enabled_got_some, lambda: f"packets in {count} queues of {name}: {moved}")
            equal(sum(moved[count:]), 0, f"packets in disabled queues of {name}: {moved}, with {count} enabled")


@GUESTS.test
def pairs_come_and_go_under_traffic_and_nothing_is_lost(rig):
    for name in PAIRS:
        guest = rig[name]
        set_pairs(guest, 1)
        rig.flood(name, 1)
        rig.dptap.settle()
        before = counts(rig, name)

        with rig.repeating(lambda vm=name: side_by_side(rig, vm)) as rounds:
            for count in (2, PAIRS[name], 1, PAIRS[name], 2, PAIRS[name], 1):
                n_rounds = len(rounds)
                set_pairs(guest, count)
                wait_until(lambda n=n_rounds: len(rounds) > n, "traffic to go on")

        check_counts(rig, name, before)
        check_no_drops(rig)


@GUESTS.test
def frames_of_no_flow_are_not_lost_either(rig):
    for name in PAIRS:
        guest = rig[name]
        before = counts(rig, name)

        def ended(vm=name):
            books = rig.dptap.port(vm)["to_guest"]
            return books["delivered"] + books["dropped"]

        # never more on their way than a lane holds
        with rig.repeating(lambda vm=name, done=ended: rig.wire.flood(rig[vm].mac, 500, done)) as rounds:
            for count in (PAIRS[name], 1) * 4:
                n_rounds = len(rounds)
                set_pairs(guest, count)
                wait_until(lambda n=n_rounds: len(rounds) > n, "the flood to go on")

        check_counts(rig, name, before)
        check_no_drops(rig)
        check(counts(rig, name)[1] - before[1] >= 500 * len(rounds), f"{len(rounds)} rounds have not arrived")


@GUESTS.test
def guests_with_several_pairs_reach_each_other(rig):
    for sender, receiver in (("vm0", "vm2"), ("vm2", "vm1"), ("vm1", "vm0")):
        set_pairs(rig[sender], PAIRS[sender])
        set_pairs(rig[receiver], PAIRS[receiver])
        rig.between(sender, receiver, 2 * MIB)


@GUESTS.test
def a_guest_that_reboots_comes_back_with_its_pairs(rig):
    guest = rig["vm0"]
    set_pairs(guest, 4)
    guest.run("(usleep 100000; reboot -f) >/dev/null 2>&1 &")
    guest.wait_ready()
    rig.dptap.wait_state("vm0", "RUNNING")
    rig.wire.wait_for(guest.address)
    rig.dropped_at_boot = rig.dptap.drops()
    rig.digests["vm0"] = guest.make_data(MIB)

    equal(pairs(guest), (2, 4), "pairs in use and at hand")
    set_pairs(guest, 4)
    side_by_side(rig, "vm0")


if __name__ == "__main__":
    main()
