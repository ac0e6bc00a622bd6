#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""TCP with every combination of checksum, segmentation, mergeable buffers and ring layout arrives whole.

Two Linux guests in QEMU have a NIC for each of the 32 combinations. NIC k of both is in one network with the wire
(10.1.k.0), and with NICs of the other guest that differ from it in others. What a transfer was made of, large frames
or small ones, is read from dptap's books; and that TCP had nothing to mend, from the receiver's.
"""

import contextlib
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from qemu import DATA_PORT, SHA256_PORT, Rig, features_of, nic_name
from testing import Failure, check, equal, main, scenario


BULK = 2 << 20
"""Bytes of a transfer."""

ABILITIES = {
    "csum": ("csum", "guest_csum"),
    "tso4": ("host_tso4", "guest_tso4"),
    "tso6": ("host_tso6", "guest_tso6"),
    "mrg": ("mrg_rxbuf",),
    "packed": ("packed",),
}
"""What is combined, and the features of each; ECN goes with either segmentation."""

ALL = range(1 << len(ABILITIES))
SWITCHED = {feature for features in ABILITIES.values() for feature in features}

NETWORKS = {1: (), 2: tuple(ABILITIES), 3: ("tso4", "tso6"), 4: ("mrg", "packed")}
"""What NIC k of vm0 and its peer in vm1 differ in, there where their addresses are 10.NETWORK.k.10 and .11."""

FRAME = 1514
"""Bytes of the longest frame that is no segmentation's work."""

PATIENCE = 20
"""Seconds in which some bytes of a transfer must come."""

ENOUGH = 4
"""Failures that end a test: each takes its time."""


def abilities(number):
    """What NIC `number` can."""
    return {ability for bit, ability in enumerate(ABILITIES) if number >> bit & 1}


def peer(number, network):
    """The other guest's NIC in this network."""
    return number ^ sum(1 << list(ABILITIES).index(ability) for ability in NETWORKS[network])


def features(number):
    """The features that it must have negotiated, of those that are switched."""
    return {feature for ability in abilities(number) for feature in ABILITIES[ability]}


def options(number):
    """Its properties in QEMU."""
    ecn = bool(abilities(number) & {"tso4", "tso6"})
    return {"guest_ufo": False, "host_ufo": False, "guest_ecn": ecn, "host_ecn": ecn,
            **{feature: feature in features(number) for feature in SWITCHED}}


def segments(number, family):
    """Whether large frames of this family can pass NIC `number`: without checksum offload none may."""
    return {"csum", f"tso{family}"} <= abilities(number)


def address(family, network, number, host):
    """An address in the network of vm0's NIC `number`; host 1 is the wire, 10 and 11 are vm0 and vm1."""
    return f"10.{network}.{number}.{host}" if family == 4 else f"2001:db8:{network}:{number:x}::{host:x}"


SET_UP = """
echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore
for place in /sys/class/net/eth*; do
	read -r mac <$place/address
	number=${mac#52:54:00:}
	number=$((0x${number%%:*}))
	name=${place##*/}
	for network in NETWORKS; do
		k=$((number ^ ${network#*:}))
		network=${network%:*}
		ip addr add 10.$network.$k.HOST/24 dev $name
		ip addr add $(printf 2001:db8:%d:%x::%x/64 $network $k HOST) dev $name
	done
	ip link set $name up
done
"""


@scenario
def two_guests_with_all_combinations():
    machine = {"options": options(0), "nics": [{"options": options(number)} for number in ALL[1:]], "ipv6": True,
               "memory_mib": 512}
    with Rig(machine, machine, memory=1024) as rig:
        rig.boot()
        for number in ALL:
            rig.wire.run("ip", "addr", "add", f"{address(4, 1, number, 1)}/24", "dev", "net0")
            rig.wire.run("ip", "addr", "add", f"{address(6, 1, number, 1)}/64", "dev", "net0", "nodad")
        for host, guest in enumerate(rig.guests.values(), 10):
            # vm0's own numbers are those of the networks
            networks = " ".join(f"{network}:{peer(0, network) if host > 10 else 0}" for network in NETWORKS)
            guest.run(SET_UP.replace("HOST", str(host)).replace("NETWORKS", networks))
        rig.digests = {name: guest.make_data(BULK) for name, guest in rig.guests.items()}
        yield rig
        # a burst of segments may be more than a lane holds: TCP is there to find its pace
        rig.check_drops("FULL_RING", "NO_SOCKET")
        rig.dptap.stop()


class Moved:
    """What came from a guest, or what a guest or the NIC was given, in a block."""

    def __init__(self, rig, port, direction):
        self._rig, self._port, self._direction = rig, port, direction
        # a packet that is cut is one when it comes to its egress
        self._word = "received" if direction == "from_guest" else "delivered"
        self._before = self._books()
        self._text = f"{port}, {direction}"

    def _books(self):
        books = self._rig.dptap.port(self._port)[self._direction]
        return books[f"{self._word}_bytes"], books[self._word]

    def check(self, large):
        """The bulk must have gone here, in large frames or small ones."""
        n_bytes, n_packets = (now - before for now, before in zip(self._books(), self._before))
        check(n_bytes > BULK, f"{self._text}: {n_bytes} bytes of {BULK}")
        check((n_bytes / n_packets > FRAME) == large, f"{self._text}: {n_packets} frames of {n_bytes / n_packets:.0f} "
              f"bytes, {'large' if large else 'small'} ones expected")


def for_each(step):
    """Call step(number, family) for all NICs and both families; what fails is told at the end, or when it is much."""
    failures = []
    for number in ALL:
        for family in (4, 6):
            try:
                step(number, family)
            except (Failure, OSError) as failure:
                failures.append(f"IPv{family}, {'+'.join(sorted(abilities(number))) or 'nothing'}: {failure}")
            check(len(failures) < ENOUGH, "\n".join(["too much fails:"] + failures))
    check(not failures, "\n".join(["some fail:"] + failures))


def faults(rig, host):
    """The headers and checksums that the network of `wire` or of a guest has found wrong so far."""
    text = rig[host].run("cat /proc/net/snmp") if host != "wire" else rig.wire.run("cat", "/proc/net/snmp")
    lines = [line.split() for line in text.splitlines() if line.startswith(("Ip:", "Tcp:"))]
    counts = {name + key: int(n) for (name, *keys), values in zip(lines[::2], lines[1::2])
              for key, n in zip(keys, values[1:])}
    return {key: counts[key] for key in ("Ip:InHdrErrors", "Tcp:InErrs", "Tcp:InCsumErrors")}


@contextlib.contextmanager
def bulk(rig, receiver, *expected):
    """The block moves it in large frames or small ones, (port, direction, large) each, and all of them are right."""
    moved = [(Moved(rig, port, direction), large) for port, direction, large in expected]
    before = faults(rig, receiver)
    yield
    rig.dptap.settle()
    equal(faults(rig, receiver), before, f"what {receiver} has found wrong")
    for one, large in moved:
        one.check(large)


GUESTS = two_guests_with_all_combinations


@GUESTS.test
def each_combination_is_negotiated(rig):
    for vm in (0, 1):
        for number in ALL:
            name = nic_name(vm, number)
            equal(rig.dptap.state(name), "RUNNING", f"state of {name}")
            found = features_of(rig.dptap.port(name))
            equal(found & SWITCHED, features(number), f"features that {name} negotiated")
            equal(found >= {"guest_ecn", "host_ecn"}, bool(abilities(number) & {"tso4", "tso6"}), f"ECN of {name}")


@GUESTS.test
def tcp_from_the_wire_arrives_whole(rig):
    data = os.urandom(BULK)
    digest = hashlib.sha256(data).hexdigest()

    def step(number, family):
        with bulk(rig, "vm0", (nic_name(0, number), "to_guest", False)):
            answer = rig.wire.converse(address(family, 1, number, 10), SHA256_PORT, data, PATIENCE)
        equal(answer.decode().split()[:1], [digest], "SHA-256")

    for_each(step)


@GUESTS.test
def tcp_to_the_wire_arrives_whole(rig):
    def step(number, family):
        with bulk(rig, "wire", (nic_name(0, number), "from_guest", segments(number, family)),
                  (rig.wire.device, "port_tx", False)):
            data = rig.wire.converse(address(family, 1, number, 10), DATA_PORT, deadline=PATIENCE)
        equal(hashlib.sha256(data).hexdigest(), rig.digests["vm0"], "SHA-256")

    for_each(step)


def between(rig, network, sender):
    """The NICs of vm0 or vm1 send to the other's in this network."""
    vms = (sender, 1 - sender)
    names = [f"vm{vm}" for vm in vms]

    def step(number, family):
        near, far = (peer(number, network) if vm else number for vm in vms)
        large = segments(near, family)
        with bulk(rig, names[1], (nic_name(vms[0], near), "from_guest", large),
                  (nic_name(vms[1], far), "to_guest", large and segments(far, family))):
            target = address(family, network, number, 10 + vms[1])
            answer = rig[names[0]].run(f"nc -w {PATIENCE} {target} {SHA256_PORT} </tmp/data")
        equal(answer.split()[:1], [rig.digests[names[0]]], "SHA-256")

    for_each(step)


@GUESTS.test
def tcp_between_equal_guests_arrives_whole(rig):
    between(rig, 1, 0)


@GUESTS.test
def tcp_between_guests_that_differ_in_all_arrives_whole(rig):
    between(rig, 2, 1)


@GUESTS.test
def tcp_between_guests_that_differ_in_segmentation_arrives_whole(rig):
    between(rig, 3, 0)


@GUESTS.test
def tcp_between_guests_whose_rings_differ_arrives_whole(rig):
    between(rig, 4, 1)


if __name__ == "__main__":
    main()
