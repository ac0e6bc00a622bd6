# SPDX-License-Identifier: BSD-3-Clause
"""Where dptap means to differ from the kernel's tap, and why; and what the kernel's answer would have it do."""

import collections
import struct

from back_end import ALL, NONE, UPLINK
from guest import DATA_VALID, GSO_ECN, GSO_NONE, GSO_UDP, MAX_FRAME, NEEDS_CSUM
from kernel_tap import MTU, TOO_LONG
from packets import CSUM_AT, DESTINATION, ETH, HOP_BY_HOP, ROUTING, SCTP, TCP, UDP
from testing import Failure
from verdict import NO_HEADER, Verdict

REFUSED = "EINVAL"
"""write() failed before there was a packet: the kernel has no reason for it."""
DEV_HDR = "DEV_HDR@tap_get_user"
UNCUT = "NOT_SPECIFIED@validate_xmit_skb"
"""The kernel could not cut a packet, or not complete its checksum, and leaves the reason open."""


def expected(answers, name):
    """What dptap's destination `name` should see, by the kernel's Answers {offloads: Answer}."""
    answer = answers[name == ALL]
    drops = collections.Counter(answer.drops)
    too_long = drops.pop(TOO_LONG, 0)
    runs = [_without_hints(run) for run in answer.runs]
    if answer.errno not in ("OK", "EINVAL") or (answer.errno != "OK" and runs):
        raise Failure(f"write() to the kernel's tap: {answer}")
    if answer.errno == "EINVAL":
        if drops not in (collections.Counter(), collections.Counter([DEV_HDR])):
            raise Failure(f"the kernel refuses a case and says {answer}")
        return Verdict("DEV_HDR" if drops else REFUSED, runs)
    if drops:
        if drops != collections.Counter([UNCUT]):
            raise Failure(f"the kernel drops a case and says {answer}")
        return Verdict(UNCUT, runs)
    if name == UPLINK and too_long:
        return Verdict(TOO_LONG, [run for run in runs if run.length <= MTU + ETH + 4])
    return Verdict(None, runs)


def _without_hints(run):
    # hdr_len is as long as the kernel happens to have in one piece; and what it has just completed itself it says that
    # it has verified
    header = run.header._replace(hdr_len=0)
    if header.flags & DATA_VALID:
        header = header._replace(flags=header.flags & ~DATA_VALID)
    return run._replace(header=header)


class Difference:
    """One that is meant. `applies(case, name, theirs, ours)` looks at the verdicts; `why` is for the reader."""

    def __init__(self, name, applies, why):
        self.name = name
        self.applies = applies
        self.why = why
        self.n = 0


def _dropped_as(theirs_reason, ours_reason):
    def applies(_case, _name, theirs, ours):
        return (theirs.reason, ours.reason) == (theirs_reason, ours_reason) and not ours.runs
    return applies


def _kind(case):
    return case.fields.gso_type & ~GSO_ECN


def _short(case, _name, theirs, ours):
    return len(case.frame) < ETH and theirs.reason == REFUSED and ours == Verdict("PKT_TOO_SMALL", [])


def _long(case, _name, _theirs, ours):
    return len(case.frame) > MAX_FRAME and ours == Verdict("SKB_COPY_DATA", [])


def _uncut(case, _name, theirs, ours):
    return theirs.reason == UNCUT and not ours.runs and ours.reason == (
        "SKB_GSO_SEG" if _kind(case) != GSO_NONE else "SKB_CSUM")


def _above_mtu(_case, name, theirs, ours):
    return name == UPLINK and theirs.reason == TOO_LONG and ours == Verdict("SKB_GSO_SEG", theirs.runs)


def _tags(frame):
    """VLAN tags, two at most."""
    tags = 0
    while frame[12 + 4 * tags : 14 + 4 * tags] in (b"\x81\x00", b"\x88\xa8") and tags < 2:
        tags += 1
    return tags


def _one_segment_above_mtu(case, name, theirs, ours):
    limit = MTU + ETH + 4 * _tags(case.frame)
    return (name == UPLINK and _kind(case) != GSO_NONE and ours == Verdict("SKB_GSO_SEG", [])
            and (theirs.reason == TOO_LONG or any(run.length > limit for run in theirs.runs)))


def _room_for_a_tag(case, name, theirs, ours):
    limit, tags = MTU + ETH, _tags(case.frame)
    if name != UPLINK or tags == 1:
        return False
    if tags == 0:
        return (theirs.reason is None and any(limit < run.length <= limit + 4 for run in theirs.runs)
                and ours == Verdict("SKB_GSO_SEG", []))
    return (theirs.reason == TOO_LONG and ours.reason is None and all(run.length <= limit + 8 for run in ours.runs)
            and theirs.runs == [run for run in ours.runs if run.length <= limit + 4])


def _kept_datagram(case, name, theirs, ours):
    fields = case.fields
    return (name == ALL and _kind(case) == GSO_UDP and theirs.reason is None and ours.reason is None
            and len(ours.runs) == 1 and ours.runs[0].n == 1 and ours.runs[0].length == len(case.frame)
            and ours.runs[0].header.gso_type == GSO_UDP and ours.runs[0].header.gso_size == fields.gso_size)


def _completed_at_once(case, name, theirs, ours):
    return (name == ALL and case.fields.flags & NEEDS_CSUM and theirs.reason is None and ours.reason is None
            and len(theirs.runs) == len(ours.runs) == 1 and theirs.runs[0].header.flags & NEEDS_CSUM
            and theirs.runs[0].header.gso_type == GSO_NONE and ours.runs[0].header == NO_HEADER
            and ours.runs[0].length == theirs.runs[0].length and not _is_tcp_or_udp_checksum(case))


def _is_tcp_or_udp_checksum(case):
    """Whether the checksum asked for is TCP's or UDP's, at its place in a packet that says so itself."""
    return transport(case.frame) == (case.fields.csum_start, case.fields.csum_offset)


def _network(frame):
    """(protocol, where it begins, where the packet ends), by what the frame's IP headers say; Nones without any."""
    at = 12
    for _ in range(3):
        kind = frame[at : at + 2]
        at += 2
        if kind not in (b"\x81\x00", b"\x88\xa8"):
            break
        at += 2
    if kind == b"\x08\x00" and len(frame) >= at + 20 and frame[at] >> 4 == 4 and frame[at] & 15 >= 5:
        if struct.unpack_from("!H", frame, at + 6)[0] & 0x3FFF:
            return None, None, None
        return frame[at + 9], at + 4 * (frame[at] & 15), at + struct.unpack_from("!H", frame, at + 2)[0]
    if kind == b"\x86\xdd" and len(frame) >= at + 40 and frame[at] >> 4 == 6:
        end = at + 40 + struct.unpack_from("!H", frame, at + 4)[0]
        protocol, at = frame[at + 6], at + 40
        while protocol in (HOP_BY_HOP, ROUTING, DESTINATION) and len(frame) >= at + 8:
            protocol, at = frame[at], at + 8 * (frame[at + 1] + 1)
        return protocol, at, end
    return None, None, None


def protocol_of(frame):
    """The protocol above IP; None without."""
    return _network(frame)[0]


def transport(frame):
    """(start, checksum's offset) of a TCP or UDP header, by what the frame itself says.

    None if there is neither, or if the packet ends elsewhere than the frame.
    """
    protocol, at, end = _network(frame)
    if end != len(frame) or protocol not in (TCP, UDP):
        return None
    if protocol == UDP and int.from_bytes(frame[at + 4 : at + 6], "big") != end - at:
        return None
    return at, CSUM_AT[protocol]


def _crc(case, name, theirs, ours):
    def size(verdict):
        return [(run.n, run.length) for run in verdict.runs]
    return (name != ALL and case.fields.csum_offset == CSUM_AT[SCTP] and protocol_of(case.frame) == SCTP
            and theirs.reason == ours.reason and size(theirs) == size(ours) and len(ours.runs) == 1)


def _cut_for_its_length(case, name, theirs, ours):
    return (name == ALL and _kind(case) != GSO_NONE and len(case.frame) >= 65536 and theirs.reason is None
            and ours.reason is None and len(ours.runs) == 1 and ours.runs[0].length == len(case.frame)
            and ours.runs[0].header.gso_size == case.fields.gso_size)


def _fragment_offsets(case, _name, theirs, ours):
    def sizes(verdict):
        return [(run.n, run.length, run.header) for run in verdict.runs]
    return (_kind(case) == GSO_UDP and theirs.reason in (None, TOO_LONG) and sizes(theirs) == sizes(ours)
            and sum(run.n for run in ours.runs) > 1 and _has_extensions(case.frame))


def _has_extensions(frame):
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    return frame[at : at + 2] == b"\x86\xdd" and frame[at + 8] in (HOP_BY_HOP, ROUTING, DESTINATION)


DIFFERENCES = (
    Difference("frames shorter than an Ethernet header", _short,
               "The kernel refuses the write before there is a packet, so that no reason exists; a guest's packet has "
               "been taken from its ring, and is PKT_TOO_SMALL."),
    Difference("headers refused before there is a packet", _dropped_as(REFUSED, "DEV_HDR"),
               "hdr_len beyond the packet: the same for the header."),
    Difference("frames beyond 64 KiB", _long,
               "A guest's chain of more than 65,550 bytes is none that a driver makes, and may not tie mbufs up."),
    Difference("what cannot be cut or completed", _uncut,
               "validate_xmit_skb() drops it without a reason; tap_handle_frame(), in whose place dptap stands for the "
               "next guest, calls the same failure SKB_GSO_SEG or SKB_CSUM."),
    Difference("frames above the MTU", _above_mtu,
               "The kernel's veth drops them without a reason; for dptap they are what could not be cut to fit."),
    Difference("packets with a segment above the MTU", _one_segment_above_mtu,
               "The kernel cuts them, and its veth drops the segments that are too long; dptap sees it beforehand, and "
               "drops what would not arrive whole."),
    Difference("the MTU and VLAN tags", _room_for_a_tag,
               "The veth has room for one tag whether there is one or not; dptap allows for the tags that are there."),
    Difference("UDP fragmentation left to the guest", _kept_datagram,
               "The kernel's veth does not take UFO, and the kernel cuts for it; a guest with GUEST_UFO does take it."),
    Difference("large packets beyond 65535 bytes", _cut_for_its_length,
               "The kernel's devices take less than 64 KiB, Ethernet header included; a guest that negotiated the "
               "segmentation takes what IP can say."),
    Difference("offsets of fragments behind IPv6 extension headers", _fragment_offsets,
               "The kernel counts the extension headers towards each following offset, so that nobody can put the "
               "datagram together; dptap's offsets are right."),
    Difference("checksums that no NIC can be asked for", _completed_at_once,
               "DPDK can say TCP, UDP and SCTP only, and a NIC takes a packet's end from IP. Other checksums, and "
               "those of packets that do not end with their frame, are completed at once, whoever gets them."),
    Difference("SCTP's checksum", _crc,
               "The header cannot say that it is no sum, and the kernel's tap adds 16-bit words up; it is a CRC32c."),
)


def find(case, name, theirs, ours):
    """The Difference that explains two verdicts; None: they disagree."""
    for difference in DIFFERENCES:
        if difference.applies(case, name, theirs, ours):
            difference.n += 1
            return difference
    return None


NAMES = {ALL: "a guest with all offloads", NONE: "a guest without offloads", UPLINK: "an uplink without offloads"}
