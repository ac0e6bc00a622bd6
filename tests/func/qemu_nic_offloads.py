#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a NIC takes off dptap's hands: checksums (e1000), segmentation besides (vmxnet3), and LRO too (virtio-net).

dptap runs in a machine of QEMU's that has these NICs, driven by DPDK, and our host is on their cables; the guests are
of our own, in the same machine. So each frame is known at both ends, with what it says of itself (virtio_net_hdr): on
a cable too, where QEMU hands a large frame on to our kernel as one.
"""

import contextlib
import itertools
import os
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
from packets import ACK, CSUM_AT, ETH, PSH, TCP, UDP, Packet, checksum, fold, payload, pseudo
from testing import check, equal, main, scenario, wait_until
from uplink import PacketSocket

GUEST_MACS = {"vm0": "52:54:00:00:01:00", "vm1": "52:54:00:00:01:01"}
HOST_MAC = "52:54:00:00:02:01"
"""The other end of the cable, as far as frames say."""

MSS = 1400
LONG = 30000
"""Bytes that are sent as one large frame."""

IDENT, SEQUENCE = 77, 1000
"""The IPv4 identification and the TCP sequence number of what is sent."""

DF = 0x4000
"""In IPv4: must not be fragmented."""

SEEDS = itertools.count()
"""No frame carries the same as an earlier one."""

_PACKET_VNET_HDR = 15
_SOL_PACKET = 263


class Frame(Packet):
    """A packet between two MAC addresses, in both forms: as a sender leaves it to its NIC, and as it must arrive."""

    def __init__(self, family, protocol, n, source=HOST_MAC, to=HOST_MAC):
        super().__init__(family, protocol, payload(n, next(SEEDS)), flags=PSH | ACK, ident=IDENT, fragment=DF,
                         seq=SEQUENCE)
        self.partial = mac_bytes(to) + mac_bytes(source) + self.bytes[12:]
        self.whole = complete(self.partial, self.csum_start, self.csum_offset)
        self.gso_type = GSO_TCPV4 if family == 4 else GSO_TCPV6
        self.text = f"IPv{family} {'TCP' if protocol == TCP else 'UDP'}"

    def header(self, gso_size=0, length=12):
        """What is said of it: the checksum is missing, and if it is a large one, how to cut it."""
        return header(length, flags=NEEDS_CSUM, gso_type=self.gso_type if gso_size else GSO_NONE,
                      hdr_len=self.headers if gso_size else 0, gso_size=gso_size, csum_start=self.csum_start,
                      csum_offset=self.csum_offset)


def complete(frame, csum_start, csum_offset):
    """The frame with its partial checksum completed."""
    at, total = csum_start + csum_offset, checksum(frame[csum_start:])
    if csum_offset == CSUM_AT[UDP]:
        total = total or 0xFFFF
    return frame[:at] + struct.pack("!H", total) + frame[at + 2 :]


def as_received(fields, frame):
    """The frame as its receiver's TCP would see it: with the checksum that its header promises to be left out."""
    return complete(frame, fields.csum_start, fields.csum_offset) if fields.flags & NEEDS_CSUM else frame


def check_segments(frames, packet):
    """The frames are the segments that a large packet becomes, each whole and with its checksums right."""
    data = packet.whole[packet.headers :]
    at = 0
    for number, frame in enumerate(frames):
        text = f"segment {number} of {len(frames)}"
        piece = frame[packet.headers :]
        last = at + len(piece) == len(data)
        equal(len(piece), MSS if not last else len(data) - at, f"bytes in {text}")
        equal(piece, data[at : at + len(piece)], f"bytes of {text}")
        ip, l4 = frame[ETH : packet.csum_start], frame[packet.csum_start :]
        if packet.version == 4:
            equal((fold(ip), struct.unpack("!H", ip[2:4])[0]), (0xFFFF, len(frame) - ETH), f"IP header of {text}")
            equal(struct.unpack("!H", ip[4:6])[0], IDENT + number, f"IP id of {text}")
        equal(fold(l4, pseudo(packet.version, TCP, len(l4))), 0xFFFF, f"TCP checksum of {text}")
        equal(struct.unpack("!I", l4[4:8])[0], SEQUENCE + at, f"sequence number of {text}")
        equal(l4[13], PSH | ACK if last else ACK, f"TCP flags of {text}")
        at += len(piece)
    equal(at, len(data), "bytes in all segments")


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


KINDS = [(family, protocol) for family in (4, 6) for protocol in (TCP, UDP)]


def plain_frames_pass_both_ways(things):
    for family, protocol in KINDS:
        packet = Frame(family, protocol, 1001, source=GUEST_MACS["vm1"])
        things.vm1.send(header(12), packet.whole)
        (found,) = things.cable.receive_from(GUEST_MACS["vm1"], len)
        equal(as_received(*found), packet.whole, f"an {packet.text} frame on the cable")

        packet = Frame(family, protocol, 1001, to=GUEST_MACS["vm1"])
        things.cable.send(header(10) + packet.whole)
        (found,) = receive(things.vm1, len)
        equal(found[1], packet.whole, f"an {packet.text} frame into a guest")


def a_partial_checksum_is_right_on_the_cable(things):
    for family, protocol in KINDS:
        packet = Frame(family, protocol, 1001, source=GUEST_MACS["vm0"])
        things.vm0.send(packet.header(), packet.partial)
        (found,) = things.cable.receive_from(GUEST_MACS["vm0"], len)
        equal(as_received(*found), packet.whole, f"an {packet.text} frame, {found[0]}")


def port_tx(things):
    """(large packets that were cut, frames that the NIC has taken) so far."""
    things.dptap.settle()
    books = things.dptap.port("nic")["port_tx"]
    return books["created"], books["delivered"]


def a_large_frame_leaves_in_segments(things):
    """dptap cuts it; a NIC of QEMU's may complete the checksums."""
    for family in (4, 6):
        packet = Frame(family, TCP, LONG, source=GUEST_MACS["vm0"])
        before = port_tx(things)
        things.vm0.send(packet.header(MSS), packet.partial)
        found = things.cable.receive_from(GUEST_MACS["vm0"], bytes_beyond(packet.headers, LONG))
        check_segments([as_received(*one) for one in found], packet)
        segments = -(-LONG // MSS)
        equal([now - then for now, then in zip(port_tx(things), before)], [segments - 1, segments],
              f"segments made by dptap, and given to the NIC, IPv{family}")


def a_large_frame_leaves_whole(things):
    # of IPv4 too, though DPDK's driver knows of no checksum for its header
    check("IPV4_CKSUM" not in things.dptap.port("nic")["tx_offloads"], "the NIC does IPv4 checksums")
    for family in (4, 6):
        packet = Frame(family, TCP, LONG, source=GUEST_MACS["vm0"])
        before = port_tx(things)
        things.vm0.send(packet.header(MSS), packet.partial)
        found = things.cable.receive_from(GUEST_MACS["vm0"], bytes_beyond(packet.headers, LONG))
        equal([now - then for now, then in zip(port_tx(things), before)], [0, 1],
              f"segments made by dptap, and frames, IPv{family}")
        equal([(fields.gso_type, fields.gso_size) for fields, _ in found], [(packet.gso_type, MSS)],
              f"segmentation that is left to our kernel, IPv{family}")
        equal(as_received(*found[0]), packet.whole, f"the frame, IPv{family}")


def checksums_that_the_nic_has_seen_to_need_no_second_look(things):
    for family, protocol in KINDS:
        packet = Frame(family, protocol, 1001, to=GUEST_MACS["vm0"])
        things.cable.send(packet.header(length=10) + packet.partial)
        ((fields, frame),) = receive(things.vm0, len)
        check(fields.flags in (NEEDS_CSUM, DATA_VALID), f"{packet.text}: header {fields}")
        equal(as_received(fields, frame), packet.whole, f"an {packet.text} frame")

        # one that takes no such promise has the checksum itself
        packet = Frame(family, protocol, 1001, to=GUEST_MACS["vm1"])
        things.cable.send(packet.header(length=10) + packet.partial)
        ((fields, frame),) = receive(things.vm1, len)
        equal((fields.flags, frame), (0, packet.whole), f"an {packet.text} frame for a guest without offloads")


def a_large_frame_arrives_whole(things):
    for family in (4, 6):
        packet = Frame(family, TCP, LONG, to=GUEST_MACS["vm0"])
        things.cable.send(packet.header(MSS, length=10) + packet.partial)
        found = receive(things.vm0, bytes_beyond(packet.headers, LONG))
        equal([(fields.gso_type, fields.gso_size, fields.flags) for fields, _ in found],
              [(packet.gso_type, MSS, NEEDS_CSUM)], f"segmentation that is left to the guest, IPv{family}")
        equal(as_received(*found[0]), packet.whole, "the frame")


def a_large_frame_arrives_in_segments_where_it_must(things):
    for family in (4, 6):
        packet = Frame(family, TCP, LONG, to=GUEST_MACS["vm1"])
        things.cable.send(packet.header(MSS, length=10) + packet.partial)
        found = receive(things.vm1, bytes_beyond(packet.headers, LONG))
        equal({fields.flags | fields.gso_type for fields, _ in found}, {0}, "what is left to the guest")
        check_segments([frame for _, frame in found], packet)


for nic in (an_e1000, a_vmxnet3, a_virtio_net):
    nic.test(plain_frames_pass_both_ways)
    nic.test(a_partial_checksum_is_right_on_the_cable)
an_e1000.test(a_large_frame_leaves_in_segments)
for nic in (a_vmxnet3, a_virtio_net):
    nic.test(a_large_frame_leaves_whole)
    nic.test(checksums_that_the_nic_has_seen_to_need_no_second_look)
    nic.test(a_large_frame_arrives_in_segments_where_it_must)
a_virtio_net.test(a_large_frame_arrives_whole)


if __name__ == "__main__":
    main()
