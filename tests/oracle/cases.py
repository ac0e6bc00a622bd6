# SPDX-License-Identifier: BSD-3-Clause
"""What both sides are asked about: a virtio_net_hdr and a frame.

fixed() yields cases that stand for one question each; random_cases() as many as wanted, the same for the same seed.
"""

import collections
import random
import struct
import zlib

from guest import (DATA_VALID, GSO_ECN, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, NEEDS_CSUM)
from packets import (ACK, CWR, ECE, FIN, FRAGMENT, HOP_BY_HOP, ICMP, ICMPV6, DESTINATION, PSH, QINQ, ROUTING, SCTP, TCP,
                     UDP, VLAN, Packet, arp, payload, raw)

_HEADER = struct.Struct("<BBHHHHH")

RSC_INFO = 4

Fields = collections.namedtuple("Fields", "flags gso_type hdr_len gso_size csum_start csum_offset num_buffers")


class Case:
    """A question: `fields` of a virtio_net_hdr, and `frame`, whose destination address is the asker's to change."""

    def __init__(self, name, frame, flags=0, gso_type=0, hdr_len=0, gso_size=0, csum_start=0, csum_offset=0,
                 num_buffers=0):
        # pylint: disable=too-many-arguments
        self.name = name
        self.frame = frame
        self.fields = Fields(flags, gso_type, hdr_len, gso_size, csum_start, csum_offset, num_buffers)

    @property
    def header(self):
        """The 12 bytes that stand before the frame."""
        return _HEADER.pack(*self.fields)

    @property
    def key(self):
        """Tells whether a recorded answer belongs to this very question."""
        return f"{zlib.crc32(self.header + self.frame):08x}"

    def __str__(self):
        fields = " ".join(f"{name}={value}" for name, value in self.fields._asdict().items() if value)
        return f"{self.name} [{len(self.frame)} bytes{', ' if fields else ''}{fields}]"


def tcp4(n, **more):
    return Packet(4, TCP, payload(n), **more)


def tcp6(n, **more):
    return Packet(6, TCP, payload(n), **more)


def udp4(n, **more):
    return Packet(4, UDP, payload(n), **more)


def udp6(n, **more):
    return Packet(6, UDP, payload(n), **more)


def _partial(packet):
    return {"flags": NEEDS_CSUM, "csum_start": packet.csum_start, "csum_offset": packet.csum_offset}


def _gso(packet, kind, size):
    return {**_partial(packet), "gso_type": kind, "gso_size": size, "hdr_len": packet.headers}


def patched(frame, at, new):
    """A frame with some of its bytes replaced."""
    return frame[:at] + new + frame[at + len(new) :]


# -- one question each -----------------------------------------------------------------------------------------


def _plain():
    yield Case("plain TCP", tcp4(6, partial=False).bytes)
    yield Case("plain UDP", udp4(20, partial=False).bytes)
    yield Case("plain ARP", arp())
    yield Case("plain, unknown ethertype", raw(46))
    yield Case("plain, IEEE 802.3 length", raw(46, 46))
    yield Case("plain, VLAN", tcp4(100, tags=[(VLAN, 5)], partial=False).bytes)
    short = raw(6, 0x0800)
    for n in range(21):
        yield Case(f"{n} bytes", short[:n])
    yield Case("IPv4 with one byte of header", raw(0, 0x0800) + b"E")
    for n in (1514, 1515, 1518, 1519, 1522, 1523, 9014, 65535):
        yield Case(f"a frame of {n} bytes", tcp4(n - 54, partial=False).bytes)
    for n in (65536, 65550, 65551, 70000):
        yield Case(f"a frame of {n} bytes", raw(n - 14))


def _flags():
    packet = tcp4(100, partial=False)
    for flags in (DATA_VALID, RSC_INFO, 8, 0xF8):
        yield Case(f"flags {flags:#x}", packet.bytes, flags)
    for flags in (NEEDS_CSUM | DATA_VALID, 0xFF):
        yield Case(f"flags {flags:#x} and a place", packet.bytes, flags, csum_start=34, csum_offset=16)
    for number in (1, 2, 0xFFFF):
        yield Case(f"num_buffers {number}", packet.bytes, num_buffers=number)
    yield Case("no NEEDS_CSUM, impossible place", packet.bytes, csum_start=0xFFFF, csum_offset=0xFFFF)
    yield Case("GSO none with a size", tcp4(4000, partial=False).bytes, hdr_len=54, gso_size=1448)


def _checksums():
    for name, packet in (("TCPv4", tcp4(100)), ("UDPv4", udp4(100)), ("TCPv6", tcp6(100)), ("UDPv6", udp6(100)),
                         ("TCPv4 with VLAN", tcp4(100, tags=[(VLAN, 7)])),
                         ("TCPv4 with two tags", tcp4(100, tags=[(QINQ, 7), (VLAN, 8)])),
                         ("TCPv4, odd length", tcp4(101)),
                         ("TCPv4 with IP options", tcp4(100, ip_options=b"\1" * 8)),
                         ("UDPv6 behind hop-by-hop", udp6(100, extensions=[(HOP_BY_HOP, b"\0\0\1\4" + bytes(4))])),
                         ("ICMP", Packet(4, ICMP, b"\x08\0\0\0" + payload(60))),
                         ("ICMPv6", Packet(6, ICMPV6, b"\x80\0\0\0" + payload(60))),
                         ("SCTP", Packet(4, SCTP, b"\x03\xe8\x07\xd0" + bytes(8) + payload(60))),
                         ("TCPv4 of 9000 bytes", tcp4(8946))):
        yield Case(f"checksum of {name}", packet.bytes, **_partial(packet))
    yield Case("checksum whose sum is zero", _zero_sum().bytes, **_partial(_zero_sum()))
    yield Case("checksum field without the pseudo header", patched(tcp4(100).bytes, 50, b"\x12\x34"), NEEDS_CSUM,
               csum_start=34, csum_offset=16)
    frame = tcp4(100).bytes
    end = len(frame)
    for start, offset in ((0, 0), (13, 0), (14, 0), (14, 10), (15, 0), (33, 16), (35, 16), (34, 0), (34, 6), (34, 15),
                          (34, 17), (42, 16), (end - 2, 0), (end - 1, 0), (end, 0), (end + 1, 0), (0xFFFF, 0),
                          (0xFFFF, 0xFFFF), (0xFFFE, 0), (34, end - 36), (34, end - 35), (34, end - 34), (34, 0xFFFF),
                          (34, 0xFFFE), (34, 0xFFDC)):
        yield Case(f"checksum from {start}, at {offset}", frame, NEEDS_CSUM, csum_start=start, csum_offset=offset)
    yield Case("checksum in ARP", arp(), NEEDS_CSUM, csum_start=34, csum_offset=6)
    yield Case("checksum in an unknown ethertype", raw(100), NEEDS_CSUM, csum_start=34, csum_offset=6)
    yield Case("checksum from 40000 in a long frame", tcp4(64900).bytes, NEEDS_CSUM, csum_start=40000, csum_offset=16)
    yield Case("checksum of a fragment", tcp4(100, fragment=0x2000).bytes, **_partial(tcp4(100)))
    yield Case("checksum, total length below the frame's", tcp4(60).bytes + bytes(30), **_partial(tcp4(60)))


def _zero_sum():
    """UDP whose completed checksum is zero, to be sent as 0xFFFF."""
    packet = udp4(2)
    total = sum(struct.unpack("!5H", packet.bytes[34:44]))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    word = struct.unpack("!H", packet.bytes[42:44])[0]
    wanted = (0xFFFF - (total - word)) % 0xFFFF
    packet.bytes = patched(packet.bytes, 42, struct.pack("!H", wanted))
    return packet


def _header_lengths():
    frame = tcp4(100, partial=False).bytes
    end = len(frame)
    for hdr_len in (54, end, end + 1, end + 2, end + 3, end + 9, end + 12, end + 13, 0xFFFF):
        yield Case(f"hdr_len {hdr_len}", frame, hdr_len=hdr_len)
    packet = tcp4(100)
    for hdr_len in (20, 0xFFFF):
        yield Case(f"hdr_len {hdr_len} and a checksum", packet.bytes, **{**_partial(packet), "hdr_len": hdr_len})


def _tcp_segments():
    four, six = tcp4(4000), tcp6(4000)
    yield Case("TSO4", four.bytes, **_gso(four, GSO_TCPV4, 1448))
    yield Case("TSO6", six.bytes, **_gso(six, GSO_TCPV6, 1428))
    yield Case("TSO4, hdr_len 0", four.bytes, **{**_gso(four, GSO_TCPV4, 1448), "hdr_len": 0})
    yield Case("TSO4, hdr_len 14", four.bytes, **{**_gso(four, GSO_TCPV4, 1448), "hdr_len": 14})
    yield Case("TSO4, hdr_len beyond the frame", four.bytes, **{**_gso(four, GSO_TCPV4, 1448), "hdr_len": 5000})
    for name, packet in (("VLAN", tcp4(4000, tags=[(VLAN, 3)])), ("two tags", tcp4(4000, tags=[(QINQ, 3), (VLAN, 4)])),
                         ("IP options", tcp4(4000, ip_options=b"\1" * 40)),
                         ("TCP options", tcp4(4000, tcp_options=b"\1" * 12)),
                         ("all TCP options", tcp4(4000, tcp_options=b"\1" * 40)),
                         ("FIN and PSH", tcp4(4000, flags=FIN | PSH | ACK)), ("CWR", tcp4(4000, flags=CWR | ACK)),
                         ("identification near its end", tcp4(4000, ident=0xFFFE)),
                         ("sequence near its end", tcp4(4000, seq=0xFFFFFF00)),
                         ("do not fragment", tcp4(4000, fragment=0x4000))):
        yield Case(f"TSO4 with {name}", packet.bytes, **_gso(packet, GSO_TCPV4, 1400))
    packet = tcp4(4000, tags=[(QINQ, 3), (VLAN, 4)])
    yield Case("TSO4 with two tags, to the brim of the MTU", packet.bytes, **_gso(packet, GSO_TCPV4, 1460))
    for name, extensions in (("hop-by-hop", [(HOP_BY_HOP, b"\0\0\1\4" + bytes(4))]),
                             ("two extensions", [(HOP_BY_HOP, b"\0\0\1\4" + bytes(4)),
                                                 (DESTINATION, b"\0\1\1\x0c" + bytes(12))])):
        packet = tcp6(4000, extensions=extensions)
        yield Case(f"TSO6 with {name}", packet.bytes, **_gso(packet, GSO_TCPV6, 1400))
    for kind, packet, size in ((GSO_TCPV4, tcp4(4000, flags=CWR | ECE | ACK), 1448),
                               (GSO_TCPV6, tcp6(4000, flags=CWR | ECE | ACK), 1428)):
        yield Case(f"type {kind} with ECN", packet.bytes, **_gso(packet, kind | GSO_ECN, size))
    for size in (0, 1, 7, 8, 9, 3999, 4000, 5000, 0xFFFF):
        yield Case(f"TSO4 in segments of {size}", four.bytes, **_gso(four, GSO_TCPV4, size))
    for size in (1, 4000):
        yield Case(f"TSO6 in segments of {size}", six.bytes, **_gso(six, GSO_TCPV6, size))
    yield Case("TSO4 of less than a segment", tcp4(100).bytes, **_gso(tcp4(100), GSO_TCPV4, 1448))
    yield Case("TSO4 without payload", tcp4(0).bytes, **_gso(tcp4(0), GSO_TCPV4, 1448))
    for name, packet in (("65535 bytes", tcp4(65535 - 54)), ("65535 bytes of IP", tcp4(65535 - 40)),
                         ("more IP than it can say", tcp4(65536 - 40))):
        yield Case(f"TSO4 of {name}", packet.bytes, **_gso(packet, GSO_TCPV4, 1448))


def _segments_without_checksum():
    four, six, udp = tcp4(4000), tcp6(4000), udp4(4000)
    whole = tcp4(4000, partial=False)
    for name, frame, kind, size in (("TSO4", four.bytes, GSO_TCPV4, 1448), ("TSO6", six.bytes, GSO_TCPV6, 1428),
                                    ("TSO4 with a full checksum", whole.bytes, GSO_TCPV4, 1448),
                                    ("TSO4 on IPv6", six.bytes, GSO_TCPV4, 1428),
                                    ("TSO6 on IPv4", four.bytes, GSO_TCPV6, 1428),
                                    ("TSO4 on UDP", udp.bytes, GSO_TCPV4, 1448),
                                    ("TSO4 on ARP", arp(), GSO_TCPV4, 1448),
                                    ("TSO4 on an unknown ethertype", raw(4000), GSO_TCPV4, 1448),
                                    ("TSO4 on ethertype 0", raw(4000, 0), GSO_TCPV4, 1448),
                                    ("UFO", udp.bytes, GSO_UDP, 1448), ("UFOv6", udp6(4000).bytes, GSO_UDP, 1448),
                                    ("UFO on ARP", arp(), GSO_UDP, 1448), ("USO", udp.bytes, GSO_UDP_L4, 1400)):
        yield Case(f"{name}, no NEEDS_CSUM", frame, gso_type=kind, gso_size=size)
    yield Case("TSO4 with DATA_VALID only", four.bytes, **{**_gso(four, GSO_TCPV4, 1448), "flags": DATA_VALID})
    for n in (14, 33, 34, 53):
        yield Case(f"TSO4 in {n} bytes, no NEEDS_CSUM", tcp4(0).bytes[:n], gso_type=GSO_TCPV4, gso_size=1448)


def _segments_that_make_no_sense():
    four, six, udp = tcp4(4000), tcp6(4000), udp4(4000)
    right = _gso(four, GSO_TCPV4, 1448)
    for name, other in (("checksum at UDP's place", {"csum_offset": 6}),
                        ("checksum from the IP header", {"csum_start": 14}),
                        ("checksum from 42", {"csum_start": 42}), ("checksum past the end", {"csum_start": 5000})):
        yield Case(f"TSO4, {name}", four.bytes, **{**right, **other})
    yield Case("TSO6 on IPv4", four.bytes, **{**right, "gso_type": GSO_TCPV6})
    yield Case("TSO4 on IPv6", six.bytes, **{**_gso(six, GSO_TCPV6, 1428), "gso_type": GSO_TCPV4})
    yield Case("TSO4 on UDP", udp.bytes, **right)
    for name, frame in (("ARP", arp()), ("an unknown ethertype", raw(4000)), ("ethertype 0", raw(4000, 0)),
                        ("IEEE 802.3", raw(1000, 1000))):
        yield Case(f"TSO4 on {name}", frame, **right)
    yield Case("TSO4 in 53 bytes", tcp4(0).bytes[:53], **{**right, "hdr_len": 0})
    yield Case("TSO4 in 40 bytes", tcp4(0).bytes[:40], **{**right, "hdr_len": 0, "csum_offset": 4})
    yield Case("TSO4, TCP header of 16 bytes", patched(four.bytes, 46, b"\x40"), **right)
    yield Case("TSO4, TCP header longer than the frame", patched(tcp4(8).bytes, 46, b"\xf0"),
               **{**right, "gso_size": 4})
    yield Case("TSO4, IP header of 16 bytes", patched(four.bytes, 14, b"\x44"), **right)
    yield Case("TSO4, IP header longer than it is", patched(four.bytes, 14, b"\x46"), **right)
    yield Case("TSO4, IP version 6", patched(four.bytes, 14, b"\x65"), **right)
    yield Case("TSO4 of a fragment", tcp4(4000, fragment=0x2000).bytes, **right)
    yield Case("TSO4 of a later fragment", tcp4(4000, fragment=0x0010).bytes, **right)
    for name, length in (("short", 100), ("long", 9000), ("zero", 0)):
        yield Case(f"TSO4, total length {name}", patched(four.bytes, 16, struct.pack("!H", length)), **right)
    yield Case("TSO6, payload length zero", patched(six.bytes, 18, b"\0\0"), **_gso(six, GSO_TCPV6, 1428))
    for kind in (2, 6, 7, 8, 0x10, 0x20, 0x21, 0x40, 0x60, 0x7F):
        yield Case(f"segmentation type {kind:#x}", four.bytes, **{**right, "gso_type": kind})
    yield Case("ECN alone", tcp4(100, partial=False).bytes, gso_type=GSO_ECN)
    yield Case("ECN with a size", four.bytes, **{**right, "gso_type": GSO_NONE | GSO_ECN})
    for kind in (GSO_UDP, GSO_UDP_L4):
        yield Case(f"type {kind} with ECN", udp.bytes, **_gso(udp, kind | GSO_ECN, 1448))


def _udp_segments():
    four, six, tcp = udp4(4000), udp6(4000), tcp4(4000)
    for name, packet in (("UFO", four), ("UFOv6", six), ("UFO with VLAN", udp4(4000, tags=[(VLAN, 3)])),
                         ("UFO with IP options", udp4(4000, ip_options=b"\1" * 8)),
                         ("UFO, odd length", udp4(3999)), ("UFO of 65507 bytes", udp4(65507)),
                         ("UFOv6 behind hop-by-hop", udp6(4000, extensions=[(HOP_BY_HOP, b"\0\0\1\4" + bytes(4))])),
                         ("UFOv6 behind a destination option",
                          udp6(4000, extensions=[(DESTINATION, b"\0\0\1\4" + bytes(4))]))):
        yield Case(name, packet.bytes, **_gso(packet, GSO_UDP, 1448))
    for size in (0, 1, 7, 8, 1444, 4007, 4008):
        yield Case(f"UFO in pieces of {size}", four.bytes, **_gso(four, GSO_UDP, size))
    yield Case("UFO on TCP", tcp.bytes, **{**_gso(tcp, GSO_UDP, 1448)})
    for name, packet in (("USO", four), ("USOv6", six), ("USO with VLAN", udp4(4000, tags=[(VLAN, 3)])),
                         ("USO, odd length", udp4(3999))):
        yield Case(name, packet.bytes, **_gso(packet, GSO_UDP_L4, 1400))
    for size in (0, 1, 31, 32, 3999, 4000, 4001):
        yield Case(f"USO in segments of {size}", four.bytes, **_gso(four, GSO_UDP_L4, size))
    yield Case("USO on TCP", tcp.bytes, **_gso(tcp, GSO_UDP_L4, 1448))
    yield Case("USO, checksum at TCP's place", four.bytes, **{**_gso(four, GSO_UDP_L4, 1400), "csum_offset": 16})
    yield Case("USO on ARP", arp(), **_gso(four, GSO_UDP_L4, 1400))
    yield Case("USO, length field short", patched(four.bytes, 38, b"\x01\x00"), **_gso(four, GSO_UDP_L4, 1400))
    yield Case("USO, length field zero", patched(four.bytes, 38, b"\0\0"), **_gso(four, GSO_UDP_L4, 1400))


def fixed():
    """The cases that stand for one question each."""
    found = []
    for some in (_plain, _flags, _checksums, _header_lengths, _tcp_segments, _segments_without_checksum,
                 _segments_that_make_no_sense, _udp_segments):
        found += some()
    return found


# -- random ones -----------------------------------------------------------------------------------------------


def _length(rng, most=65000):
    """A payload's length: mostly small, at times up to the most."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randrange(4)
    if kind < 4:
        return rng.randrange(200)
    if kind < 7:
        return rng.randrange(min(most, 6000))
    return rng.randrange(most)


def _packet(rng):
    """A packet of some protocol, whole."""
    version = rng.choice((4, 4, 6))
    protocol = rng.choice((TCP, TCP, TCP, UDP, UDP, UDP, ICMP if version == 4 else ICMPV6, SCTP))
    more = {"ident": rng.randrange(65536), "tos": rng.randrange(256), "partial": rng.random() < 0.8,
            "flags": rng.choice((ACK, ACK | PSH, ACK | FIN, ACK | CWR, rng.randrange(256))),
            "seq": rng.randrange(1 << 32)}
    more["tags"] = rng.choice(((), (), (), (), [(VLAN, rng.randrange(65536))],
                               [(QINQ, rng.randrange(4096)), (VLAN, rng.randrange(4096))]))
    if version == 4:
        more["ip_options"] = b"\1" * (4 * rng.choice((0, 0, 0, 0, 1, 2, 10)))
        more["fragment"] = rng.choice((0, 0, 0x4000, 0x4000, 0x2000, rng.randrange(65536)))
    else:
        kinds = (HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION)
        more["extensions"] = [(rng.choice(kinds), b"\0\0\1\4" + bytes(4)) for _ in range(rng.choice((0, 0, 0, 1, 2)))]
    if protocol == TCP:
        more["tcp_options"] = b"\1" * (4 * rng.choice((0, 0, 3, 3, rng.randrange(11))))
    return Packet(version, protocol, payload(_length(rng), rng.randrange(100)), **more)


def _right_header(rng, packet):
    """Fields as a sender without fault would fill them in."""
    fields = {}
    if rng.random() < 0.85:
        fields = _partial(packet)
    room = len(packet.bytes) - packet.headers
    if packet.protocol in (TCP, UDP) and rng.random() < 0.7:
        # few segments enough that a packet socket holds all of them
        least = max(1, room // 900)
        size = rng.choice((1448, 1400, 536, rng.randrange(1, 1500), rng.randrange(1, 65536), room, room + 1, room - 1))
        if packet.protocol == TCP:
            kind = GSO_TCPV4 if packet.version == 4 else GSO_TCPV6
            kind |= rng.choice((0, 0, 0, GSO_ECN))
        else:
            kind = rng.choice((GSO_UDP, GSO_UDP_L4))
            least = max(8, least)
        fields.update(gso_type=kind, gso_size=min(max(size, least), 0xFFFF), hdr_len=packet.headers)
    return fields


def _wrong_header(rng, packet, fields):
    """One field changed: to a value near a border, or to any."""
    frame = len(packet.bytes)
    name = rng.choice(("flags", "gso_type", "gso_type", "hdr_len", "gso_size", "csum_start", "csum_start",
                       "csum_offset", "csum_offset", "num_buffers"))
    marks = (0, 14, packet.l2_len, packet.csum_start, packet.headers, frame, 0xFFFF)
    if name == "flags":
        value = rng.choice((0, NEEDS_CSUM, DATA_VALID, rng.randrange(256)))
    elif name == "gso_type":
        value = rng.choice((GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6, GSO_UDP_L4, rng.randrange(256)))
        value |= rng.choice((0, 0, 0, GSO_ECN))
    elif name == "csum_offset":
        value = rng.choice((0, 2, 6, 10, 16, frame - packet.csum_start, rng.randrange(65536))) + rng.randrange(-2, 3)
    elif name == "gso_size":
        least = max(1, (frame - packet.l2_len) // 900)
        value = rng.choice((0, max(least, rng.randrange(65536)), max(least, 8)))
    else:
        value = rng.choice(marks + (rng.randrange(65536),)) + rng.randrange(-3, 4)
    fields[name] = value % (256 if name in ("flags", "gso_type") else 65536)


def _wrong_frame(rng, packet):
    """One byte of the headers changed (not of the addresses), or the frame cut or lengthened."""
    frame = packet.bytes
    kind = rng.randrange(4)
    if kind == 0:
        return frame[: rng.randrange(14, len(frame) + 1)] if rng.random() < 0.3 else frame[: rng.randrange(14, 80)]
    if kind == 1:
        return frame + bytes(rng.randrange(1, 64))
    at = rng.randrange(12, max(min(packet.headers, len(frame)), 13))
    value = rng.choice((0, 0xFF, frame[at] ^ 1 << rng.randrange(8), rng.randrange(256)))
    return patched(frame, at, bytes((value,)))


def random_cases(seed, n):
    """n cases: packets of all kinds; most headers right or nearly so, others not."""
    rng = random.Random(seed)
    found = []
    for i in range(n):
        packet = _packet(rng)
        fields = _right_header(rng, packet)
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 3))):
            _wrong_header(rng, packet, fields)
        frame = packet.bytes
        if rng.random() < 0.25:
            frame = _wrong_frame(rng, packet)
        found.append(Case(f"random {seed}.{i}", frame, **fields))
    return found
