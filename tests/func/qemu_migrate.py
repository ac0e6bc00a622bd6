#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest moves from one QEMU to another under traffic, and loses no more than the books say.

Both QEMUs are guests of one dptap (which learns the MAC address where it shows up), or each has a dptap of its own on
one Linux bridge.
"""

import contextlib
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, uplink
from netns import Switch, mac_bytes
from qemu import Qemu, Rig, address_of, features_of, mac_of
from testing import check, equal, main, scenario, wait_until


MIB = 1 << 20

BROADCAST = bytes([255] * 6)
ETHERTYPE = {"RARP": 0x8035, "ARP": 0x0806}
REQUEST_REVERSE = 3
"""What a RARP frame asks (RFC 903)."""


class Trip(Rig):
    """One guest `vm0` and the places it can be at: (dptap, the name of a guest of it) each."""

    def __init__(self, n_dptaps, options):
        super().__init__(wire=Switch(n_dptaps))
        self._options = options
        self.dptaps = []
        self.places = []
        self._here = 0
        self._n_machines = 0

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.kill_guests)
            stack.enter_context(self.wire)
            for vdev in self.wire.vdevs:
                # the address is to be found by learning where there are two places for it on one bridge
                names = ("a", "b") if len(self.wire.vdevs) == 1 else ("a",)
                settings = {} if len(names) == 2 else {"mac": mac_of(0)}
                guests = [guest(name, **settings) for name in names]
                self.dptaps.append(stack.enter_context(Dptap(uplink(self.wire.device), *guests, vdevs=[vdev])))
                self.places += [(self.dptaps[-1], name) for name in names]
            self.dptap = self.dptaps[0]
            self.guests["vm0"] = self._qemu(0, incoming=False)
            self._stack = stack.pop_all()
        return self

    def _qemu(self, place, incoming):
        dptap, name = self.places[place]
        self._n_machines += 1
        return Qemu(f"vm0-{self._n_machines}", dptap.socket(name), dptap.dir, mac=mac_of(0), address=address_of(0),
                    options=self._options, incoming=incoming)

    def boot_here(self):
        """Start it where it is."""
        self["vm0"].start()
        self["vm0"].wait_ready()
        self.wait_there()

    def wait_there(self):
        """Wait until its queues run where it is."""
        dptap, name = self.places[self._here]
        dptap.wait_state(name, "RUNNING")

    def move(self):
        """Migrate it to the other place; QEMU's account of it."""
        source = self["vm0"]
        self.guests["target"] = target = self._qemu(1 - self._here, incoming=True)
        target.start()
        dptap, name = self.places[1 - self._here]
        dptap.wait_state(name, "NEGOTIATING")
        status = source.migrate_to(target)
        self._here = 1 - self._here
        self.guests["vm0"] = self.guests.pop("target")
        source.kill()
        self.wait_there()
        return status

    def features(self):
        """What it has negotiated where it is."""
        dptap, name = self.places[self._here]
        return features_of(dptap.port(name))

    def settle(self):
        """All books at rest and exact."""
        for dptap in self.dptaps:
            dptap.settle()

    def counts(self):
        """(to_guest delivered, from_guest received), at all places together."""
        ports = [dptap.port(name) for dptap, name in self.places]
        return (sum(port["to_guest"]["delivered"] for port in ports),
                sum(port["from_guest"]["received"] for port in ports))

    def from_wire(self):
        return sum(dptap.port(self.wire.device)["port_rx"]["received"] for dptap in self.dptaps)

    def nudge(self):
        """One frame that asks for no answer: it makes the guest's driver count what it has sent before."""
        with self.wire.inside(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as sender:
            sender.bind(("net0", 0))
            sender.send((mac_bytes(mac_of(0)) + mac_bytes(self.wire.mac) + b"\x88\xb5").ljust(60, b"\0"))


class Listener:
    """Frames of one kind that the wire carries."""

    def __init__(self, wire, kind):
        with wire.inside():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETHERTYPE[kind]))
        self._socket.bind(("net0", ETHERTYPE[kind]))
        self._socket.setblocking(False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def poll(self):
        """Those that have come since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(2048))
        return found


def is_announcement(kind, frame):
    """Whether the guest tells where it is: its own name for itself (RARP), or its address unasked (ARP)."""
    mac, ip = mac_bytes(mac_of(0)), socket.inet_aton(address_of(0))
    if frame[:6] != BROADCAST or frame[6:12] != mac:
        return False
    operation, sender, sender_ip, target, target_ip = (
        int.from_bytes(frame[20:22], "big"), frame[22:28], frame[28:32], frame[32:38], frame[38:42])
    if kind == "RARP":
        return (operation, sender, target) == (REQUEST_REVERSE, mac, mac)
    return (sender, sender_ip, target_ip) == (mac, ip, ip)


def stage(n_dptaps, packed, announcing):
    with Trip(n_dptaps, {"packed": packed, "guest_announce": announcing}) as trip:
        trip.boot_here()
        trip.wire.wait_for(address_of(0))
        trip.kind = "ARP" if announcing else "RARP"
        found = trip.features()
        equal(("packed" in found, "guest_announce" in found), (packed, announcing), "PACKED and GUEST_ANNOUNCE")
        yield trip
        for dptap in trip.dptaps:
            dptap.settle()
            # at the place that was left, or while nobody knows the address
            others = {key for key in dptap.drops() if key[0] not in ("NO_SOCKET", "OTHERHOST", "FULL_RING")}
            check(not others, f"drops for other reasons: {others}")
            dptap.stop()


@scenario
def split_rings_on_one_dptap():
    yield from stage(1, packed=False, announcing=False)


@scenario
def packed_rings_on_one_dptap():
    yield from stage(1, packed=True, announcing=True)


@scenario
def split_rings_between_two_dptaps():
    yield from stage(2, packed=False, announcing=True)


@scenario
def packed_rings_between_two_dptaps():
    yield from stage(2, packed=True, announcing=False)


def it_moves_there_and_back_under_traffic(trip):
    digest = trip["vm0"].make_data(4 * MIB)
    boot_id = trip["vm0"].boot_id

    for _ in range(2):
        with Listener(trip.wire, trip.kind) as listener:
            with trip.repeating(lambda: trip.into("vm0", 4 * MIB)) as into, \
                    trip.repeating(lambda: trip.fetch("vm0", digest)) as out_of:
                wait_until(lambda i=into, o=out_of: i and o, "the first round of traffic")
                trip.move()
                enough = len(into) + 2, len(out_of) + 2
                wait_until(lambda i=into, o=out_of, n=enough: len(i) >= n[0] and len(o) >= n[1], "traffic to go on")
            announcements = [frame for frame in listener.poll() if is_announcement(trip.kind, frame)]
        check(announcements, f"no {trip.kind} frame of the guest on the wire")
        trip.settle()
    equal(trip["vm0"].run("cat /proc/sys/kernel/random/boot_id").strip(), boot_id, "boot id")


def it_loses_only_what_the_books_say(trip):
    def agree():
        trip.nudge()
        trip.settle()
        agree.counts = trip.counts(), (trip["vm0"].received_packets(), trip["vm0"].sent_packets())
        return agree.counts[0] == agree.counts[1]

    def told():
        return f"(packets into the guest, out of it) by dptap's books and by its own count: {agree.counts}"

    wait_until(agree, told)
    with trip.repeating(lambda: trip.wire.flood(mac_of(0), 300, trip.from_wire)) as rounds, \
            trip.repeating(lambda: trip.wire.answers(address_of(0))):
        wait_until(lambda: rounds, "the first round of a flood")
        trip.move()
        n_rounds = len(rounds)
        wait_until(lambda: len(rounds) >= n_rounds + 2, "the flood to go on")
    wait_until(agree, told)


for place in (split_rings_on_one_dptap, packed_rings_on_one_dptap, split_rings_between_two_dptaps,
              packed_rings_between_two_dptaps):
    place.test(it_moves_there_and_back_under_traffic)
    place.test(it_loses_only_what_the_books_say)


if __name__ == "__main__":
    main()
