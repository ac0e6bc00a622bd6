# SPDX-License-Identifier: BSD-3-Clause
"""Packets of the protocols that offloads know: built whole, with right checksums or with partial ones.

A partial checksum is what a sender leaves to its NIC: the field holds the sum over the pseudo header, and whoever
completes it adds the sum from the transport header to the packet's end.
"""

import struct

MAC_TO = bytes.fromhex("020000000002")
MAC_FROM = bytes.fromhex("020000000001")

ETH = 14
IPV4 = 0x0800
ARP = 0x0806
VLAN = 0x8100
QINQ = 0x88A8
IPV6 = 0x86DD

TCP = 6
UDP = 17
ICMP = 1
ICMPV6 = 58
SCTP = 132
HOP_BY_HOP = 0
ROUTING = 43
FRAGMENT = 44
DESTINATION = 60

FIN = 0x01
SYN = 0x02
PSH = 0x08
ACK = 0x10
ECE = 0x40
CWR = 0x80

CSUM_AT = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2, SCTP: 8}
"""Where a transport header has its checksum."""

V4_FROM, V4_TO = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
V6_FROM, V6_TO = bytes((0xFD,)) + bytes(14) + b"\1", bytes((0xFD,)) + bytes(14) + b"\2"


def fold(data, start=0):
    """The ones' complement sum over bytes, folded to 16 bits."""
    if len(data) % 2:
        data += b"\0"
    # 2^16 = 1 modulo 0xFFFF, so the sum of the words is the number's remainder; 0xFFFF, not 0, stands for a multiple
    total = int.from_bytes(data, "big") + start
    return (total % 0xFFFF or 0xFFFF) if total else 0


def checksum(data, start=0):
    """What goes into a checksum field."""
    return ~fold(data, start) & 0xFFFF


def pseudo(version, protocol, length):
    """The folded sum over the pseudo header of a packet between this module's addresses."""
    if version == 4:
        return fold(V4_FROM + V4_TO + struct.pack("!BBH", 0, protocol, length & 0xFFFF))
    return fold(V6_FROM + V6_TO + struct.pack("!IHBB", length, 0, 0, protocol))


def payload(n, seed=0):
    """n bytes without a short period."""
    block = bytes((i * i + 7 * i + seed) >> 3 & 0xFF for i in range(1031))
    return (block * (n // len(block) + 1))[:n]


class Packet:
    """A packet and where its parts are.

    `version`    4 or 6
    `protocol`   TCP, UDP or another; with another one `data` is all that follows the IP header
    `data`       the transport's payload
    `tags`       VLAN tags, outermost first: (ethertype, TCI)
    `ip_options` bytes, a multiple of 4, behind the IPv4 header
    `extensions` IPv6 extension headers: (type, bytes, a multiple of 8, whose first is overwritten)
    `partial`    leave the transport's checksum undone
    """

    # pylint: disable=too-many-arguments
    def __init__(self, version, protocol, data, tags=(), ip_options=b"", extensions=(), tcp_options=b"", flags=ACK,
                 partial=True, ident=1, fragment=0, tos=0, ttl=64, seq=1, ports=(1000, 2000), udp_zero=False):
        self.version, self.protocol = version, protocol
        self.l2_len = ETH + 4 * len(tags)
        self.l3_len = 20 + len(ip_options) if version == 4 else 40 + sum(len(e) for _, e in extensions)
        if protocol == TCP:
            l4 = struct.pack("!HHIIBBHHH", *ports, seq, 1, (20 + len(tcp_options)) // 4 << 4, flags, 8192, 0, 0)
            l4 += tcp_options
        elif protocol == UDP:
            l4 = struct.pack("!HHHH", *ports, (8 + len(data)) & 0xFFFF, 0)
        else:
            l4 = b""
        self.l4_len = len(l4)
        self.csum_start = self.l2_len + self.l3_len
        self.csum_offset = CSUM_AT.get(protocol, 0)
        body = l4 + data
        if protocol in (TCP, UDP) and not udp_zero:
            total = pseudo(version, protocol, len(body))
            if not partial:
                total = checksum(body, total)
                if protocol == UDP and total == 0:
                    total = 0xFFFF
            at = self.csum_offset
            body = body[:at] + struct.pack("!H", total) + body[at + 2 :]
        if version == 4:
            l3 = struct.pack("!BBHHHBBH", 0x40 | self.l3_len // 4, tos, (self.l3_len + len(body)) & 0xFFFF, ident,
                             fragment, ttl, protocol, 0) + V4_FROM + V4_TO + ip_options
            l3 = l3[:10] + struct.pack("!H", checksum(l3)) + l3[12:]
        else:
            kinds = [kind for kind, _ in extensions] + [protocol]
            l3 = struct.pack("!IHBB", 6 << 28 | tos << 20, (self.l3_len - 40 + len(body)) & 0xFFFF, kinds[0], ttl)
            l3 += V6_FROM + V6_TO
            l3 += b"".join(bytes((kinds[i + 1],)) + e[1:] for i, (_, e) in enumerate(extensions))
        types = [kind for kind, _ in tags] + [IPV4 if version == 4 else IPV6]
        l2 = MAC_TO + MAC_FROM + struct.pack("!H", types[0])
        l2 += b"".join(struct.pack("!HH", tci, types[i + 1]) for i, (_, tci) in enumerate(tags))
        self.bytes = l2 + l3 + body

    @property
    def headers(self):
        """Bytes ahead of the transport's payload."""
        return self.l2_len + self.l3_len + self.l4_len


def raw(n, ethertype=0x88B5):
    """n bytes of no protocol behind an Ethernet header."""
    return MAC_TO + MAC_FROM + struct.pack("!H", ethertype) + b"R" * n


def arp():
    """A request, padded to 60 bytes."""
    return (MAC_TO + MAC_FROM + struct.pack("!HHHBBH", ARP, 1, IPV4, 6, 4, 1) + MAC_FROM + V4_FROM + bytes(6) +
            V4_TO + bytes(18))
