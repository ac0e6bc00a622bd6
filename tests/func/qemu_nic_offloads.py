#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a NIC takes off dptap's hands: checksums (e1000), segmentation besides (vmxnet3), and LRO too (virtio-net).

dptap runs in a machine of QEMU's that has these NICs, driven by DPDK, and our host is on their cables; the guests are
of our own, in the same machine. So each frame is known at both ends, with what it says of itself (virtio_net_hdr): on
a cable too, where QEMU hands a large frame on to our kernel as one.
"""

import contextlib
import os
import socket
import struct
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import guest, uplink
from guest import (DATA_VALID, FEATURES, GSO_NONE, GSO_TCPV4, GSO_TCPV6, NEEDS_CSUM, OFFLOADS, header,
                   read_header)
from machine import NICS, RemoteDptap, RemoteGuest, World
from netns import mac_bytes
from testing import check, equal, main, scenario, wait_until
from uplink import PacketSocket

GUEST_MACS = {"vm0": "52:54:00:00:01:00", "vm1": "52:54:00:00:01:01"}
HOST_MAC = "52:54:00:00:02:01"
"""The other end of the cable, as far as frames say."""

MSS = 1400
LONG = 30000
"""Bytes that are sent as one large frame."""

_PACKET_VNET_HDR = 15
_SOL_PACKET = 263


def ones_sum(data, start=0):
    """The Internet's one's complement sum (RFC 1071)."""
    even = data + bytes(len(data) % 2)
    total = start + sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Packet:
    """A TCP or UDP packet: builds its frame, or reads one."""

    PORTS = (7777, 8888)

    def __init__(self, family, protocol, payload, partial=True, source=HOST_MAC, to=HOST_MAC):
        """`partial`: the checksum field holds the pseudo header's sum only, and whoever sends it last completes it."""
        self.l3_len = 20 if family == 4 else 40
        self.l4 = 14 + self.l3_len
        self.csum_offset = 16 if protocol == "tcp" else 6
        l4_len = len(payload) + (20 if protocol == "tcp" else 8)
        number = socket.IPPROTO_TCP if protocol == "tcp" else socket.IPPROTO_UDP
        if family == 4:
            addresses = socket.inet_aton("198.51.100.1") + socket.inet_aton("198.51.100.2")
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + l4_len, 77, 0x4000, 64, number, 0) + addresses
            ip = ip[:10] + struct.pack("!H", ~ones_sum(ip) & 0xFFFF) + ip[12:]
        else:
            addresses = (socket.inet_pton(socket.AF_INET6, "2001:db8::77") +
                         socket.inet_pton(socket.AF_INET6, "2001:db8::88"))
            ip = struct.pack("!IHBB", 6 << 28, l4_len, number, 64) + addresses
        pseudo = ones_sum(addresses, number + l4_len)
        if protocol == "tcp":
            l4 = struct.pack("!HHIIBBHHH", *self.PORTS, 1000, 0, 5 << 4, 0x18, 0xFFFF, pseudo, 0) + payload
        else:
            l4 = struct.pack("!HHHH", *self.PORTS, l4_len, pseudo) + payload
        frame = mac_bytes(to) + mac_bytes(source) + (b"\x08\x00" if family == 4 else b"\x86\xdd") + ip + l4
        self.partial = frame
        self.whole = complete(frame, self.l4, self.csum_offset)
        self.hdr_len = self.l4 + (20 if protocol == "tcp" else 8)
        self.gso_type = GSO_TCPV4 if family == 4 else GSO_TCPV6

    def header(self, gso_size=0, length=12):
        """What is said of it: the checksum is missing, and if it is a large one, how to cut it."""
        return header(length, flags=NEEDS_CSUM, gso_type=self.gso_type if gso_size else GSO_NONE,
                      hdr_len=self.hdr_len if gso_size else 0, gso_size=gso_size, csum_start=self.l4,
                      csum_offset=self.csum_offset)


def complete(frame, csum_start, csum_offset):
    """The frame with its partial checksum completed."""
    at = csum_start + csum_offset
    return frame[:at] + struct.pack("!H", ~ones_sum(frame[csum_start:]) & 0xFFFF) + frame[at + 2 :]


def as_received(fields, frame):
    """The frame as its receiver's TCP would see it: with the checksum that its header promises to be left out."""
    return complete(frame, fields.csum_start, fields.csum_offset) if fields.flags & NEEDS_CSUM else frame


def check_segments(frames, packet, payload):
    """The frames are the segments that a large packet becomes, each whole and with its checksums right."""
    at = 0
    for number, frame in enumerate(frames):
        text = f"segment {number} of {len(frames)}"
        family = 4 if frame[12:14] == b"\x08\x00" else 6
        piece = frame[packet.hdr_len :]
        last = at + len(piece) == len(payload)
        equal(len(piece), MSS if not last else len(payload) - at, f"bytes in {text}")
        equal(piece, payload[at : at + len(piece)], f"bytes of {text}")
        ip, l4 = frame[14 : packet.l4], frame[packet.l4 :]
        if family == 4:
            equal((ones_sum(ip), struct.unpack("!H", ip[2:4])[0]), (0xFFFF, len(frame) - 14), f"IP header of {text}")
            equal(struct.unpack("!H", ip[4:6])[0], 77 + number, f"IP id of {text}")
        addresses = ip[12:20] if family == 4 else ip[8:40]
        equal(ones_sum(addresses + l4, socket.IPPROTO_TCP + len(l4)), 0xFFFF, f"TCP checksum of {text}")
        equal(struct.unpack("!I", l4[4:8])[0], 1000 + at, f"sequence number of {text}")
        equal(l4[13], 0x18 if last else 0x10, f"TCP flags of {text}")
        at += len(piece)
    equal(at, len(payload), "bytes in all segments")


class Cable(PacketSocket):
    """Our end of a NIC's cable; frames come with their virtio_net_hdr."""

    def __init__(self, tap):
        super().__init__(tap.near)
        self.sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)

    def receive_from(self, mac, enough):
        """The frames with this source, as (fields, frame), once `enough` of them says so."""
        found = []

        def step():
            for data in self.poll():
                if data[16:22] == mac_bytes(mac):
                    found.append((read_header(data), data[10:]))
            return enough([frame for _, frame in found])

        wait_until(step, lambda: f"frames on {self.interface}: {[(f, len(d)) for f, d in found]}")
        return found


def receive(one, enough):
    """The frames that a guest gets, as (fields, frame), once `enough` of them says so."""
    found = []

    def step():
        found.extend((read_header(data), frame) for data, frame in one.poll())
        return enough([frame for _, frame in found])

    wait_until(step, lambda: f"frames into a guest: {[(f, len(d)) for f, d in found]}", pause=0.01)
    return found


def bytes_beyond(hdr_len, n_bytes):
    """Whether frames carry that many bytes behind their headers."""
    return lambda frames: sum(len(frame) - hdr_len for frame in frames) >= n_bytes


@contextlib.contextmanager
def stage(name, **settings):
    """A dptap on one of the NICs, a guest with all offloads (vm0), and one that takes none (vm1)."""
    world = World.get(*NICS)
    nic = NICS[name]
    tap = world.taps[list(NICS).index(name)]
    guests = [guest(vm, mac=mac, socket=f"/run/{vm}.sock") for vm, mac in GUEST_MACS.items()]
    with contextlib.ExitStack() as stack:
        dptap = stack.enter_context(RemoteDptap(
            world.machine, world.program, uplink("nic", device=nic.pci, **settings), *guests, nic=nic.pci))
        vm0 = stack.enter_context(RemoteGuest(world.machine, "/run/vm0.sock", FEATURES | OFFLOADS))
        vm1 = stack.enter_context(RemoteGuest(world.machine, "/run/vm1.sock", FEATURES))
        for port, state in (("nic", "up"), ("vm0", "RUNNING"), ("vm1", "RUNNING")):
            dptap.wait_state(port, state)
        cable = Cable(tap)
        stack.callback(cable.close)
        with dptap.expect_drops({}, ("nic", "vm0", "vm1")):
            yield types.SimpleNamespace(cable=cable, dptap=dptap, vm0=vm0, vm1=vm1, name=name)
        dptap.stop()


@scenario
def an_e1000():
    with stage("e1000") as things:
        yield things


@scenario
def a_vmxnet3():
    # with LRO large frames get lost between QEMU's device and DPDK's driver
    with stage("vmxnet3") as things:
        yield things


@scenario
def a_virtio_net():
    with stage("virtio", lro="on") as things:
        yield things


KINDS = [(family, protocol) for family in (4, 6) for protocol in ("tcp", "udp")]


def plain_frames_pass_both_ways(things):
    for family, protocol in KINDS:
        payload = os.urandom(1001)
        packet = Packet(family, protocol, payload, source=GUEST_MACS["vm1"])
        things.vm1.send(header(12), packet.whole)
        (found,) = things.cable.receive_from(GUEST_MACS["vm1"], len)
        equal(as_received(*found), packet.whole, f"an IPv{family} {protocol} frame on the cable")

        packet = Packet(family, protocol, payload, to=GUEST_MACS["vm1"])
        things.cable.send(header(10) + packet.whole)
        (found,) = receive(things.vm1, len)
        equal(found[1], packet.whole, f"an IPv{family} {protocol} frame into a guest")


def a_partial_checksum_is_right_on_the_cable(things):
    for family, protocol in KINDS:
        packet = Packet(family, protocol, os.urandom(1001), source=GUEST_MACS["vm0"])
        things.vm0.send(packet.header(), packet.partial)
        (found,) = things.cable.receive_from(GUEST_MACS["vm0"], len)
        equal(as_received(*found), packet.whole, f"an IPv{family} {protocol} frame, {found[0]}")


def port_tx(things):
    """(large packets that were cut, frames that the NIC has taken) so far."""
    things.dptap.settle()
    books = things.dptap.port("nic")["port_tx"]
    return books["created"], books["delivered"]


def check_leaves_in_segments(things, family):
    """dptap cuts it; a NIC of QEMU's may complete the checksums."""
    payload = os.urandom(LONG)
    packet = Packet(family, "tcp", payload, source=GUEST_MACS["vm0"])
    before = port_tx(things)
    things.vm0.send(packet.header(MSS), packet.partial)
    found = things.cable.receive_from(GUEST_MACS["vm0"], bytes_beyond(packet.hdr_len, LONG))
    check_segments([as_received(*one) for one in found], packet, payload)
    segments = -(-LONG // MSS)
    equal([now - then for now, then in zip(port_tx(things), before)], [segments - 1, segments],
          f"segments made by dptap, and given to the NIC, IPv{family}")


def a_large_frame_leaves_in_segments(things):
    for family in (4, 6):
        check_leaves_in_segments(things, family)


def a_large_ipv4_frame_leaves_in_segments(things):
    # DPDK wants the IPv4 header's checksum to be the NIC's work where segmentation is, and here it cannot be
    check("IPV4_CKSUM" not in things.dptap.port("nic")["tx_offloads"], "the NIC does IPv4 checksums")
    check_leaves_in_segments(things, 4)


def a_large_ipv6_frame_leaves_whole(things):
    packet = Packet(6, "tcp", os.urandom(LONG), source=GUEST_MACS["vm0"])
    before = port_tx(things)
    things.vm0.send(packet.header(MSS), packet.partial)
    found = things.cable.receive_from(GUEST_MACS["vm0"], bytes_beyond(packet.hdr_len, LONG))
    equal([now - then for now, then in zip(port_tx(things), before)], [0, 1], "segments made by dptap, and frames")
    equal([(fields.gso_type, fields.gso_size) for fields, _ in found], [(packet.gso_type, MSS)],
          "segmentation that is left to our kernel")
    equal(as_received(*found[0]), packet.whole, "the frame")


def checksums_that_the_nic_has_seen_to_need_no_second_look(things):
    for family, protocol in KINDS:
        packet = Packet(family, protocol, os.urandom(1001), to=GUEST_MACS["vm0"])
        things.cable.send(packet.header(length=10) + packet.partial)
        ((fields, frame),) = receive(things.vm0, len)
        check(fields.flags in (NEEDS_CSUM, DATA_VALID), f"IPv{family} {protocol}: header {fields}")
        equal(as_received(fields, frame), packet.whole, f"an IPv{family} {protocol} frame")

        # one that takes no such promise has the checksum itself
        packet = Packet(family, protocol, os.urandom(1001), to=GUEST_MACS["vm1"])
        things.cable.send(packet.header(length=10) + packet.partial)
        ((fields, frame),) = receive(things.vm1, len)
        equal((fields.flags, frame), (0, packet.whole), f"an IPv{family} {protocol} frame for a guest without offloads")


def a_large_frame_arrives_whole(things):
    for family in (4, 6):
        packet = Packet(family, "tcp", os.urandom(LONG), to=GUEST_MACS["vm0"])
        things.cable.send(packet.header(MSS, length=10) + packet.partial)
        found = receive(things.vm0, bytes_beyond(packet.hdr_len, LONG))
        equal([(fields.gso_type, fields.gso_size, fields.flags) for fields, _ in found],
              [(packet.gso_type, MSS, NEEDS_CSUM)], f"segmentation that is left to the guest, IPv{family}")
        equal(as_received(*found[0]), packet.whole, "the frame")


def a_large_frame_arrives_in_segments_where_it_must(things):
    for family in (4, 6):
        payload = os.urandom(LONG)
        packet = Packet(family, "tcp", payload, to=GUEST_MACS["vm1"])
        things.cable.send(packet.header(MSS, length=10) + packet.partial)
        found = receive(things.vm1, bytes_beyond(packet.hdr_len, LONG))
        equal({fields.flags | fields.gso_type for fields, _ in found}, {0}, "what is left to the guest")
        check_segments([frame for _, frame in found], packet, payload)


for nic in (an_e1000, a_vmxnet3, a_virtio_net):
    nic.test(plain_frames_pass_both_ways)
    nic.test(a_partial_checksum_is_right_on_the_cable)
an_e1000.test(a_large_frame_leaves_in_segments)
for nic in (a_vmxnet3, a_virtio_net):
    nic.test(a_large_ipv4_frame_leaves_in_segments)
    nic.test(a_large_ipv6_frame_leaves_whole)
    nic.test(checksums_that_the_nic_has_seen_to_need_no_second_look)
    nic.test(a_large_frame_arrives_in_segments_where_it_must)
a_virtio_net.test(a_large_frame_arrives_whole)


if __name__ == "__main__":
    main()
