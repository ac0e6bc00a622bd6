#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What dptap cuts and completes is to the byte what the kernel's own software makes of the same packets.

The kernel's side is a veth pair whose near end has all offloads off: a packet socket hands it packets with a
virtio_net_hdr, and what arrives at the far end has been cut and completed in software. dptap's side is a guest of
ours that sends the same packets to another veth pair (net_af_packet, no offloads) and to a guest without offloads.
"""

import contextlib
import errno
import itertools
import os
import socket
import struct
import subprocess
import sys

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"),
                os.path.dirname(os.path.abspath(__file__))]

# pylint: disable=wrong-import-position
from frames import ETHERTYPE, mac
from guest import (FEATURES, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, MAX_FRAME, NEEDS_CSUM,
                   header)
from packets import (ACK, CWR, DESTINATION, ECE, ETH, FIN, HOP_BY_HOP, PSH, QINQ, SYN, TCP, UDP, VLAN, Packet, checksum,
                     fold, payload, pseudo)
from stage import bridge, mac_of
from testing import Skip, check, equal, main, scenario, wait_until
from uplink import PacketSocket, Wire, ip, private_network
from verdict import comparable
import vhost_user as vu

MTU = 1500
SENDER, GUEST = "vm0", "vm1"
BEYOND = mac(0x999)
"""A station behind the uplink."""

MAX_SEGMENTS = 600
"""Of a packet, so that no queue of the kernel's between two ends of a veth pair overflows."""
MAX_USO_SEGMENTS = 128
"""Linux takes no more."""

_END = mac(0xE0D)
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_SO_SNDBUFFORCE = 32

OPTIONS = b"\1\1\x08\x0a" + bytes(range(8))
"""A TCP timestamp, as in most packets."""
HOPS = (HOP_BY_HOP, b"\0\0\1\4" + bytes(4))
DESTINATIONS = (DESTINATION, b"\0\1\1\x0c" + bytes(12))


class Wired:
    """Frames at the far end of a veth pair, one packet's after the other's."""

    def __init__(self, sock, mark):
        self.sock = sock
        self.mark = mark  # sends the frame that says "that was all"
        self.number = 0

    def take(self):
        """The frames that came since the last call, all of them: it sends a mark behind them and waits for that."""
        self.number += 1
        self.mark(self.number)
        found = []

        def ended():
            found.extend(self.sock.poll())
            return found and found[-1][6:12] == _END and struct.unpack_from("!I", found[-1], 14)[0] == self.number

        wait_until(ended, f"mark {self.number} on {self.sock.interface}", pause=0.0002)
        return found[:-1]


def mark(destination, number):
    """The frame that says "that was all"."""
    return destination + _END + struct.pack("!HI", ETHERTYPE, number) + bytes(42)


class Kernel:
    """The kernel's software segmentation: cut() a packet."""

    NEAR, FAR = "segments-near", "segments-far"

    def __init__(self):
        private_network()
        ip("link", "add", self.NEAR, "mtu", "65535", "type", "veth", "peer", "name", self.FAR, "mtu", "65535")
        for end in (self.NEAR, self.FAR):
            ip("link", "set", end, "arp", "off", "up")
            off = [word for name in ("tx", "sg", "tso", "gso", "gro", "tx-udp-segmentation") for word in (name, "off")]
            done = subprocess.run(["ethtool", "-K", end, *off], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Skip(f"ethtool: {done.stderr.strip()}")
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        with contextlib.suppress(PermissionError):
            self.sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, 16 << 20)
        self.sock.bind((self.NEAR, 0))
        self.far = PacketSocket(self.FAR)
        self.wired = Wired(self.far, lambda number: self.sock.send(header(10) + mark(BEYOND, number)))

    def cut(self, hdr, frame):
        """The frames that the kernel makes of a packet."""
        try:
            self.sock.send(hdr[:10] + frame)
        except OSError as err:
            if err.errno != errno.EINVAL:
                raise
            return None
        return self.wired.take()

    def close(self):
        self.sock.close()
        self.far.close()
        subprocess.run(["ip", "link", "del", self.NEAR], capture_output=True, check=False)


def _right_offsets(fragments, packet):
    """The kernel counts extension headers towards each following fragment's offset; here are the right ones."""
    at, offset, found = packet.l2_len + packet.l3_len + 2, 0, []
    for one in fragments:
        found.append(one[:at] + struct.pack("!H", offset | one[at + 1] & 1) + one[at + 2 :])
        offset += len(one) - (at + 6)
    return found


class Sides:
    """The kernel's segmentation and dptap's."""

    def __init__(self, kernel, stage, wire):
        self.kernel = kernel
        self.stage = stage
        self.wired = Wired(wire.socket, self._mark)
        self.n = self.n_frames = 0

    def _mark(self, number):
        self.stage[SENDER].send(mark(BEYOND, number))

    def compare(self, packet, kind, size, flags=NEEDS_CSUM):
        """One packet, cut by both; the frames that it became."""
        hdr = header(12, flags, kind, packet.headers if kind else 0, size, packet.csum_start if flags else 0,
                     packet.csum_offset if flags else 0)
        frame = packet.bytes
        parts = f"{packet.l2_len}+{packet.l3_len}+{packet.l4_len}"
        what = f"{len(frame)} bytes (headers {parts}), type {kind:#x}, size {size}"
        theirs = self.kernel.cut(hdr, frame)
        check(theirs, f"the kernel takes no packet of {what}")
        if kind == GSO_UDP and packet.version == 6 and packet.l3_len > 40:
            theirs = _right_offsets(theirs, packet)
        expected = [comparable(one) for one in theirs]
        longest = max(map(len, theirs))
        sender, guest = self.stage[SENDER], self.stage[GUEST]
        if longest <= MTU + packet.l2_len:
            sender.send(BEYOND + frame[6:], hdr)
            self._same(self.wired.take(), expected, f"{what}, uplink")
        sender.send(mac_of(GUEST) + frame[6:], hdr)
        self._same([came.frame for came in guest.receive(len(expected))], expected, f"{what}, guest")
        self.n += 1
        self.n_frames += len(theirs)
        return theirs

    @staticmethod
    def _same(ours, expected, what):
        equal(len(ours), len(expected), f"frames of {what}")
        for i, (one, other) in enumerate(zip(ours, expected)):
            one = comparable(one)
            if one != other:
                equal(len(one), len(other), f"bytes of frame {i} of {what}")
                at = next(j for j, (a, b) in enumerate(zip(one, other)) if a != b)
                equal(one[at : at + 16].hex(" "), other[at : at + 16].hex(" "), f"byte {at + 6} of frame {i} of {what}")

    def done(self, least):
        """Say how much was compared, and end with the law of the books."""
        print(f"# {self.n} packets, {self.n_frames} frames")
        check(self.n >= least, f"only {self.n} packets were compared")
        self.n = self.n_frames = 0
        self.stage.dptap.settle()


@scenario
def both_sides():
    with contextlib.ExitStack() as stack:
        kernel = Kernel()
        stack.callback(kernel.close)
        wire = stack.enter_context(Wire(mtu=MTU))
        stage = stack.enter_context(bridge(SENDER, GUEST, nic=wire, settings={GUEST: {"queue_len": 4096}}))
        stage.bring(SENDER, None, features=FEATURES | vu.HOST_OFFLOADS)
        stage.bring(GUEST, features=FEATURES, queue_size=1024)
        missing = vu.HOST_OFFLOADS & ~stage[SENDER].features
        check(not missing, f"features {missing:#x} were not offered")
        yield Sides(kernel, stage, wire)
        stage.dptap.settle()
        stage.dptap.stop()


# -- what is cut -----------------------------------------------------------------------------------------------


def _sizes(size, most):
    """Payload lengths around the borders of segments, and up to what a packet can hold."""
    near = [n * size + more for n in (1, 2, 3, 7) for more in (-1, 0, 1)]
    return sorted({n for n in near + [1, 2, 3, 1000, 4001, 9999, 32768, 65000, most - 1, most] if 0 < n <= most})


def _all_sizes(sides, kind, make, sizes, least, segments=MAX_SEGMENTS):
    """Packets of every length in segments of every size."""
    empty = make(0)
    most = min(MAX_FRAME, 65535 + empty.l2_len) - empty.headers
    options = empty.l4_len - 20 if empty.protocol == TCP else 0
    for size in sizes:
        for length in _sizes(size, most):
            # the kernel counts TCP options as payload when it asks whether there is something to cut, and when it
            # cuts it does not: it then drops the packet
            if length // size < segments and not size - options < length <= size:
                sides.compare(make(length), kind, size)
    sides.done(least)


TCP_SIZES = (1, 2, 7, 8, 9, 88, 255, 536, 777, 1000, 1001, 1220, 1447, 1448, 1460, 1461, 4096, 9001, 30000, 65000)
UDP_SIZES = (8, 16, 88, 256, 536, 777, 1000, 1001, 1400, 1472, 1473, 4096, 9001, 30000)
UFO_SIZES = (8, 64, 88, 256, 536, 1000, 1400, 1448, 1472, 1480, 4096, 9000, 30000, 777, 1001)
"""UFO: the last two are no multiples of eight, which no fragment's offset can say."""


@both_sides.test
def tcp_over_ipv4_of_every_size(sides):
    _all_sizes(sides, GSO_TCPV4, lambda n: Packet(4, TCP, payload(n), tcp_options=OPTIONS), TCP_SIZES, least=200)


@both_sides.test
def tcp_over_ipv6_of_every_size(sides):
    _all_sizes(sides, GSO_TCPV6, lambda n: Packet(6, TCP, payload(n), tcp_options=OPTIONS), TCP_SIZES, least=200)


@both_sides.test
def udp_datagrams_over_ipv4_of_every_size(sides):
    _all_sizes(sides, GSO_UDP_L4, lambda n: Packet(4, UDP, payload(n)), UDP_SIZES, least=120, segments=MAX_USO_SEGMENTS)


@both_sides.test
def udp_datagrams_over_ipv6_of_every_size(sides):
    _all_sizes(sides, GSO_UDP_L4, lambda n: Packet(6, UDP, payload(n)), UDP_SIZES, least=120, segments=MAX_USO_SEGMENTS)


@both_sides.test
def udp_fragments_over_ipv4_of_every_size(sides):
    _all_sizes(sides, GSO_UDP, lambda n: Packet(4, UDP, payload(n)), UFO_SIZES, least=120)


@both_sides.test
def udp_fragments_over_ipv6_of_every_size(sides):
    _all_sizes(sides, GSO_UDP, lambda n: Packet(6, UDP, payload(n)), UFO_SIZES, least=120)


# -- what headers may hold -------------------------------------------------------------------------------------

TAGS = ((), ((VLAN, 0x6005),), ((QINQ, 7), (VLAN, 0x2008)))
EXTENSIONS = ((), (HOPS,), (DESTINATIONS,), (HOPS, DESTINATIONS))
IP_OPTIONS = (b"", b"\1" * 4, b"\x94\x04\0\0" + b"\1" * 36)


def _variants(version):
    """Layers below the transport."""
    for tags in TAGS:
        for more in EXTENSIONS if version == 6 else IP_OPTIONS:
            yield {"version": version, "tags": tags, **({"extensions": more} if version == 6 else {"ip_options": more})}


@both_sides.test
def tags_options_and_extension_headers_stay_in_every_segment(sides):
    for version in (4, 6):
        for more in _variants(version):
            for options in (b"", OPTIONS, b"\1" * 40):
                packet = Packet(protocol=TCP, data=payload(5003), tcp_options=options, **more)
                sides.compare(packet, GSO_TCPV4 if version == 4 else GSO_TCPV6, 1301)
            for kind in (GSO_UDP_L4, GSO_UDP):
                sides.compare(Packet(protocol=UDP, data=payload(5003), **more), kind, 1304)
    sides.done(60)


@both_sides.test
def tcp_flags_stand_where_they_belong(sides):
    for version, kind in ((4, GSO_TCPV4), (6, GSO_TCPV6)):
        for flags in itertools.chain(range(256), (FIN | PSH | ACK, CWR | ECE | ACK, SYN | ACK)):
            sides.compare(Packet(version, TCP, payload(3000), flags=flags), kind, 1000)
        for flags in (ACK, CWR | ACK, CWR | ECE | ACK, CWR | FIN | PSH | ACK):
            sides.compare(Packet(version, TCP, payload(3000), flags=flags), kind | GSO_ECN, 1000)
    sides.done(500)


@both_sides.test
def numbers_count_on_across_their_end(sides):
    for ident in (0, 1, 0x7FFE, 0xFFFD, 0xFFFE, 0xFFFF):
        for fragment in (0, 0x4000):
            for seq in (0, 0x7FFFFF00, 0xFFFFF000, 0xFFFFFFFF):
                sides.compare(Packet(4, TCP, payload(6000), ident=ident, fragment=fragment, seq=seq), GSO_TCPV4, 1400)
            sides.compare(Packet(4, UDP, payload(6000), ident=ident, fragment=fragment), GSO_UDP_L4, 1400)
            if not fragment:
                sides.compare(Packet(4, UDP, payload(6000), ident=ident), GSO_UDP, 1400)
    for tos in (0, 1, 3, 0xB8, 0xFF):
        for version, kind in ((4, GSO_TCPV4), (6, GSO_TCPV6)):
            sides.compare(Packet(version, TCP, payload(6000), tos=tos, ttl=1), kind, 1400)
    sides.done(70)


# -- checksums -------------------------------------------------------------------------------------------------


@both_sides.test
def a_partial_checksum_is_completed_at_every_length(sides):
    for version in (4, 6):
        for protocol in (TCP, UDP):
            for n in itertools.chain(range(130), range(1400, 1433), (9000, 40001, 65000)):
                sides.compare(Packet(version, protocol, payload(n, n)), GSO_NONE, 0)
            for more in _variants(version):
                sides.compare(Packet(protocol=protocol, data=payload(777), **more), GSO_NONE, 0)
    sides.done(600)


@both_sides.test
def a_udp_checksum_of_zero_is_sent_as_all_ones(sides):
    for version in (4, 6):
        packet = Packet(version, UDP, payload(100) + b"\0\0")
        start, field = packet.csum_start, packet.csum_start + packet.csum_offset
        rest = fold(packet.bytes[start:])
        data = packet.bytes[:-2] + struct.pack("!H", 0xFFFF - rest)
        packet.bytes = data
        equal(checksum(packet.bytes[start:]), 0, "the sum that this packet is made to have")

        frames = sides.compare(packet, GSO_NONE, 0)

        equal(frames[0][field : field + 2], b"\xff\xff", "the checksum field")
    sides.done(2)


# -- both may be wrong -----------------------------------------------------------------------------------------


def _verified(frame, version, protocol, l3):
    """The payload of a segment whose checksums and lengths are right."""
    if version == 4:
        ihl = 4 * (frame[l3] & 15)
        equal(fold(frame[l3 : l3 + ihl]), 0xFFFF, "sum over the IPv4 header")
        equal(struct.unpack_from("!H", frame, l3 + 2)[0], len(frame) - l3, "total length")
        l4 = l3 + ihl
    else:
        equal(struct.unpack_from("!H", frame, l3 + 4)[0], len(frame) - l3 - 40, "payload length")
        l4 = l3 + 40
    equal(fold(frame[l4:], pseudo(version, protocol, len(frame) - l4)), 0xFFFF, "sum over the transport")
    if protocol == UDP:
        equal(struct.unpack_from("!H", frame, l4 + 4)[0], len(frame) - l4, "UDP's length")
    return frame[l4 + (8 if protocol == UDP else 4 * (frame[l4 + 12] >> 4)) :]


@both_sides.test
def segments_are_right_in_themselves_and_lose_nothing(sides):
    for version, protocol, kind in ((4, TCP, GSO_TCPV4), (6, TCP, GSO_TCPV6), (4, UDP, GSO_UDP_L4),
                                    (6, UDP, GSO_UDP_L4)):
        data = payload(60000, 7)
        frames = sides.compare(Packet(version, protocol, data), kind, 1333)
        equal(b"".join(_verified(one, version, protocol, ETH) for one in frames), data, "what the segments carry")
    for version in (4, 6):
        data = payload(60000, 9)
        frames = sides.compare(Packet(version, UDP, data), GSO_UDP, 1336)
        start = ETH + (20 if version == 4 else 48)
        datagram = b"".join(one[start:] for one in frames)
        equal(datagram[8:], data, "what the fragments carry")
        equal(fold(datagram, pseudo(version, UDP, len(datagram))), 0xFFFF, "sum over the datagram")
        if version == 6:
            equal(len({one[start - 4 : start] for one in frames}), 1, "identifications of one datagram's fragments")
    sides.done(6)


if __name__ == "__main__":
    main()
