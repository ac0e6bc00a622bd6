#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What a sender leaves undone reaches whoever does it, and is done for whoever does not.

Checksums and segmentation between guests of different features, a NIC that completes checksums, one that cuts, and one
that cuts nothing; jumbo frames and MTUs; what a NIC merged, or GRO.
"""

import contextlib
import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, uplink
from frames import BROADCAST, mac, text
from guest import (FEATURES, FROM_GUEST, GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4, NEEDS_CSUM, OFFLOADS,
                   Guest, header, read_header)
from packets import (ACK, DESTINATION, FIN, HOP_BY_HOP, PSH, ROUTING, SCTP, TCP, UDP, Packet, fold, payload,
                     pseudo)
from stage import Stage, bridge, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import Nic, Tap
import vhost_user as vu

NIC = "net_vhost0"
NIC_MAC = mac(0x999)
PORTS = ("vm0", "vm1", "vm2", NIC)
MSS = 1448
BUFFERS = (16384,)


def to(destination, packet, source="vm0"):
    """A packet's bytes, from one port to another; None: to all."""
    address = BROADCAST if destination is None else NIC_MAC if destination == NIC else mac_of(destination)
    return address + (NIC_MAC if source == NIC else mac_of(source)) + packet.bytes[12:]


def undone_fields(packet, gso_type, size):
    return NEEDS_CSUM, gso_type, packet.headers if size else 0, size, packet.csum_start, packet.csum_offset


def undone(packet, gso_type=GSO_NONE, size=0):
    """The header of a sender that leaves the checksum undone, and maybe the cutting."""
    return header(12, *undone_fields(packet, gso_type, size))


def headers_of(frame):
    """Where a frame's transport header is and, in it, the checksum, as its own bytes say; IPv6 options are walked."""
    at = 12
    while frame[at : at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    ip, version = at + 2, {b"\x08\x00": 4, b"\x86\xdd": 6}[bytes(frame[at : at + 2])]
    if version == 4:
        return ip + 4 * (frame[ip] & 15), {TCP: 16, UDP: 6, SCTP: 8}[frame[ip + 9]]
    kind, at = frame[ip + 6], ip + 40
    while kind in (HOP_BY_HOP, ROUTING, DESTINATION):
        kind, at = frame[at], at + 8 * (frame[at + 1] + 1)
    return at, {TCP: 16, UDP: 6, SCTP: 8}[kind]


def tcp(version, n, partial=True, **more):
    return Packet(version, TCP, payload(n), partial=partial, **more)


def udp(version, n, partial=True, **more):
    return Packet(version, UDP, payload(n), partial=partial, **more)


def is_right(frame, packet):
    """Whether the checksums of a frame with that packet's kind of headers are right."""
    l4 = frame[packet.csum_start :]
    if packet.version == 4 and fold(frame[packet.l2_len : packet.csum_start]) != 0xFFFF:
        return False
    return fold(l4, pseudo(packet.version, packet.protocol, len(l4))) == 0xFFFF


def expect_whole(got, packet, gso_type, size):
    """One frame came, as it was sent, and with the header that says what is undone."""
    equal(len(got), 1, "frames")
    equal(got[0].frame[12:] == packet.bytes[12:], True, "the packet's bytes")
    found = read_header(got[0].header)
    equal((found.flags, found.gso_type, found.gso_size if size else 0, found.csum_start, found.csum_offset),
          (NEEDS_CSUM, gso_type, size, packet.csum_start, packet.csum_offset), "the header")
    if size:
        equal(found.hdr_len, packet.headers, "the length of headers")


def expect_segments(frames, packet, size):
    """Frames that together carry a packet's payload, `size` bytes each, whole in themselves."""
    data = packet.bytes[packet.headers :]
    pieces = [frame[packet.headers :] for frame in frames]
    equal([len(piece) for piece in pieces], [len(data[at : at + size]) for at in range(0, len(data), size)],
          "payload of each segment")
    equal(b"".join(pieces) == data, True, "payload of all segments")
    equal([is_right(frame, packet) for frame in frames], [True] * len(frames), "whether checksums are right")


@scenario
def guests_and_a_nic():
    """vm0 leaves everything undone, vm1 takes everything, vm2 nothing; the NIC completes checksums and cuts nothing."""
    with tempfile.TemporaryDirectory() as folder, \
            Nic(f"{folder}/nic.sock", features=FEATURES | OFFLOADS, tso=True, deadline=60) as nic, \
            bridge("vm0", "vm1", "vm2", nic=nic, settings={NIC: {"queue_len": 2000}}) as stage:
        stage.nic = nic
        nic.up()
        wait_until(lambda: stage.dptap.state(NIC) == "up", "the link")
        nic.keep_given(BUFFERS)
        stage.bring("vm0", features=FEATURES | OFFLOADS, buffers=BUFFERS)
        stage.bring("vm1", features=FEATURES | OFFLOADS, buffers=BUFFERS)
        stage.bring("vm2", buffers=BUFFERS)
        yield stage
        stage.dptap.settle()
        stage.dptap.stop()


def send(stage, destination, packet, hdr, n, source="vm0"):
    """Send one packet and receive n frames of it."""
    receiver = stage.nic if destination == NIC else stage[destination]
    sender = stage.nic if source == NIC else stage[source]
    sender.send(to(destination, packet, source), hdr)
    return receiver.receive(n)


@guests_and_a_nic.test
def a_packet_to_cut_reaches_a_guest_that_takes_it_whole(stage):
    for packet, kind in ((tcp(4, 60000), GSO_TCPV4), (tcp(6, 60000), GSO_TCPV6), (udp(4, 60000), GSO_UDP_L4),
                         (udp(6, 60000), GSO_UDP_L4), (udp(4, 60000), GSO_UDP)):
        expect_whole(send(stage, "vm1", packet, undone(packet, kind, MSS), 1), packet, kind, MSS)


@guests_and_a_nic.test
def a_packet_to_cut_reaches_other_guests_in_segments(stage):
    for packet, kind in ((tcp(4, 60000), GSO_TCPV4), (tcp(6, 60000), GSO_TCPV6), (udp(4, 60000), GSO_UDP_L4),
                         (udp(6, 60000), GSO_UDP_L4), (tcp(4, 5000, tags=((0x8100, 5),)), GSO_TCPV4)):
        n = -(-(len(packet.bytes) - packet.headers) // MSS)
        before = stage.dptap.port("vm2")["to_guest"]
        got = send(stage, "vm2", packet, undone(packet, kind, MSS), n)
        expect_segments([one.frame for one in got], packet, MSS)
        equal({bytes(one.header[:10]) for one in got}, {bytes(10)}, "headers")
        stage.dptap.settle()
        after = stage.dptap.port("vm2")["to_guest"]
        equal({key: after[key] - before[key] for key in ("received", "created", "created_bytes", "delivered")},
              {"received": 1, "created": n - 1, "created_bytes": (n - 1) * packet.headers, "delivered": n}, "the books")


@guests_and_a_nic.test
def a_partial_checksum_is_kept_or_completed(stage):
    for packet in (tcp(4, 100), tcp(6, 1000), udp(4, 1), udp(6, 1399)):
        expect_whole(send(stage, "vm1", packet, undone(packet), 1), packet, GSO_NONE, 0)
        expect_whole(send(stage, NIC, packet, undone(packet), 1), packet, GSO_NONE, 0)
        got = send(stage, "vm2", packet, undone(packet), 1)[0]
        equal(bytes(got.header[:10]), bytes(10), "the header")
        equal(is_right(got.frame, packet), True, "whether the checksum is right")


@guests_and_a_nic.test
def each_destination_of_a_broadcast_gets_what_it_takes(stage):
    for packet, kind, size in ((udp(4, 900), GSO_NONE, 0), (udp(6, 3000), GSO_UDP_L4, 700),
                               (tcp(4, 9000), GSO_TCPV4, MSS)):
        n = max(1, -(-(len(packet.bytes) - packet.headers) // size)) if size else 1
        stage["vm0"].send(to(None, packet), undone(packet, kind, size))
        expect_whole(stage["vm1"].receive(1), packet, kind, size)
        plain = [one.frame for one in stage["vm2"].receive(n)]
        at_nic = stage.nic.receive(n)
        if size:
            expect_segments(plain, packet, size)
            equal([read_header(one.header).flags for one in at_nic], [NEEDS_CSUM] * n, "flags at the NIC")
            equal([one.frame[packet.headers :] for one in at_nic], [one[packet.headers :] for one in plain],
                  "payload of the segments at the NIC")
        else:
            equal(is_right(plain[0], packet), True, "whether the completed checksum is right")
            equal(at_nic[0].frame[12:], packet.bytes[12:], "what the NIC completes")
    stage.dptap.settle()


@guests_and_a_nic.test
def a_guest_that_comes_back_without_offloads_gets_segments(stage):
    packet = tcp(4, 20000)
    expect_whole(send(stage, "vm1", packet, undone(packet, GSO_TCPV4, MSS), 1), packet, GSO_TCPV4, MSS)
    stage.bring("vm1", buffers=BUFFERS)
    expect_segments([one.frame for one in send(stage, "vm1", packet, undone(packet, GSO_TCPV4, MSS), 14)], packet, MSS)
    stage.bring("vm1", features=FEATURES | vu.F_GUEST_CSUM, buffers=BUFFERS)
    got = send(stage, "vm1", packet, undone(packet, GSO_TCPV4, MSS), 14)
    equal({read_header(one.header).flags for one in got}, {NEEDS_CSUM}, "flags")
    equal(b"".join(one.frame[packet.headers :] for one in got) == packet.bytes[packet.headers :], True, "payload")
    stage.bring("vm1", features=FEATURES | OFFLOADS, buffers=BUFFERS)


@guests_and_a_nic.test
def what_waits_for_a_guest_that_takes_less_from_now_on_is_made_to_fit_or_dropped_alone(stage):
    """On one connection, with a receive queue that nobody has stopped."""
    large, small, n = tcp(4, 20000), udp(4, 500), 5
    vm1 = stage.bring("vm1", features=FEATURES | OFFLOADS, buffers=None)
    for _ in range(n):
        stage["vm0"].send(to("vm1", large), undone(large, GSO_TCPV4, MSS))
        stage["vm0"].send(to("vm1", small), undone(small))
    stage.dptap.settle(held=2 * n)

    vm1.front_end.get_vring_base(FROM_GUEST)
    vm1.front_end.set_features(FEATURES)
    with stage.dptap.expect_drops({("vm1", "to_guest", "gso_taken_no_more"): n}, PORTS):
        vm1.keep_given(BUFFERS)
        got = [one.frame for one in vm1.receive(n)]
    equal([is_right(frame, small) for frame in got], [True] * n, "whether the completed checksums are right")
    stage.bring("vm1", features=FEATURES | OFFLOADS, buffers=BUFFERS)


@guests_and_a_nic.test
def tcp_flags_that_end_a_packet_stand_in_the_last_segment(stage):
    packet = tcp(4, 3 * MSS, flags=ACK | PSH | FIN)
    got = send(stage, "vm2", packet, undone(packet, GSO_TCPV4, MSS), 3)
    equal([one.frame[packet.csum_start + 13] for one in got], [ACK, ACK, ACK | PSH | FIN], "flags")


@guests_and_a_nic.test
def an_uplink_shows_the_offloads_in_use(stage):
    port = stage.dptap.port(NIC)
    equal({"TCP_CKSUM", "UDP_CKSUM", "MULTI_SEGS"} <= set(port["tx_offloads"]), True, f"of {port['tx_offloads']}")
    equal({"TCP_CKSUM", "UDP_CKSUM"} <= set(port["rx_offloads"]), True, f"of {port['rx_offloads']}")
    equal((port["gro"], port["merged"], port["lost_after_delivery"]), ("off", 0, 0), "gro, merged, lost after delivery")


@guests_and_a_nic.test
def segments_and_frames_beyond_the_mtu_of_the_nic_are_dropped(stage):
    vm0 = stage["vm0"]
    long = tcp(4, 9000)
    with stage.dptap.expect_drops({(NIC, "port_tx", "segment_exceeds_mtu"): 1}, PORTS):
        vm0.send(to(NIC, long), undone(long, GSO_TCPV4, 1461))
    with stage.dptap.expect_drops({(NIC, "port_tx", "frame_exceeds_mtu"): 1}, PORTS):
        vm0.send(to(NIC, long), undone(long))
    got = send(stage, NIC, long, undone(long, GSO_TCPV4, 1460), 7)
    equal([len(one.frame) for one in got], [1514] * 6 + [14 + 40 + 240], "lengths")


@guests_and_a_nic.test
def nonsense_from_a_guest_reaches_no_nic(stage):
    """Whatever its headers say, what a NIC is asked to do is what the packet is."""
    seed = random.randrange(1 << 32)
    print(f"# seed {seed}")
    dice = random.Random(seed)
    vm0, n_undone = stage["vm0"], 0

    def look():
        asked = 0
        for got in stage.nic.poll():
            found = read_header(got.header)
            check(found.gso_type == GSO_NONE and found.flags in (0, NEEDS_CSUM), f"the NIC is asked for {found}")
            if found.flags:
                asked += 1
                l4 = headers_of(got.frame)
                equal((found.csum_start, found.csum_offset), l4, f"where {got.frame[:80].hex()} has its checksum")
        return asked

    for _ in range(60):
        for _ in range(32):
            packet = dice.choice((tcp, udp))(dice.choice((4, 6)), dice.choice((0, 1, 100, 1400, 9000, 40000)),
                                             tags=dice.choice(((), ((0x8100, 7),))))
            data = bytearray(to(NIC, packet))
            hdr = list(undone_fields(packet, dice.choice((GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP, GSO_UDP_L4)),
                                     dice.choice((0, 1, 536, MSS))))
            for _ in range(dice.choice((0, 0, 1, 2))):
                hdr[dice.randrange(6)] = dice.choice((0, 1, 2, 14, 34, 255, 65535))
            for _ in range(dice.choice((0, 0, 1, 2))):
                data[dice.randrange(12, min(len(data), 80))] = dice.randrange(256)
            del data[dice.randrange(14, len(data) + 1) if dice.random() < 0.1 else len(data) :]
            vm0.post(bytes(data), header(12, hdr[0] & 255, hdr[1] & 255, *hdr[2:]))
        vm0.publish()
        vm0.wait_sent(look)
        n_undone += look()
    wait_until(lambda: not look() and stage.dptap.balance()["held"] == 0, "the last frames")
    check(n_undone > 0, "nothing was left to the NIC")
    stage.dptap.settle()


@guests_and_a_nic.test
def a_packet_of_65000_segments_costs_a_lane_and_no_more(stage):
    """The lane and the guest's buffers take what they take; the rest is not even made."""
    packet = tcp(4, 65000)
    vm2 = stage.bring("vm2", buffers=None)
    before = sum(stage.dptap.drops("vm2").values())
    stage["vm0"].send(to("vm2", packet), undone(packet, GSO_TCPV4, 1))
    stage.dptap.settle(held=1000)
    equal({key[1] for key in stage.dptap.drops("vm2")}, {"FULL_RING"}, "reasons of drops")
    equal(sum(stage.dptap.drops("vm2").values()) - before, 64000, "segments for which there was no room")
    vm2.keep_given(BUFFERS)
    got = vm2.receive(1000)
    equal(b"".join(one.frame[54:] for one in got) == packet.bytes[54:1054], True, "payload of the first thousand")


@guests_and_a_nic.test
def bursts_of_such_packets_do_not_keep_others_waiting(stage):
    """A thousand of them, of 65 million segments: nobody could wait for these."""
    packet = tcp(4, 65000)
    stage.bring("vm2", buffers=BUFFERS)
    data, hdr = to("vm2", packet), undone(packet, GSO_TCPV4, 1)
    vm0 = stage["vm0"]

    def meanwhile():
        stage["vm2"].poll()

    for at in range(0, 256, 64):
        wait_until(lambda: len(vm0.from_guest.free) >= 64 * 1, "room to send", pause=0.0002)
        for _ in range(64):
            vm0.post(data, hdr)
        vm0.publish()
        vm0.wait_sent(meanwhile)
    wait_until(lambda: not stage["vm2"].poll() and stage.dptap.port("vm2")["to_guest"]["held"] == 0,
               "the last segments")
    stage.dptap.settle()
    books = stage.dptap.port("vm2")["to_guest"]
    equal(books["received"] + books["created"], books["delivered"] + books["dropped"], "the two sides of the books")
    stage.cross("vm0", "vm1", 50)


# -- what a NIC yields --------------------------------------------------------------------------------------------


@guests_and_a_nic.test
def a_checksum_that_the_nic_has_not_seen_completed_is_partial(stage):
    for packet in (tcp(4, 100), udp(6, 700)):
        expect_whole(send(stage, "vm1", packet, undone(packet), 1, NIC), packet, GSO_NONE, 0)
        got = send(stage, "vm2", packet, undone(packet), 1, NIC)[0]
        equal(is_right(got.frame, packet), True, "whether the completed checksum is right")


@guests_and_a_nic.test
def what_a_nic_has_merged_is_one_packet_to_cut(stage):
    for packet, kind in ((tcp(4, 30000), GSO_TCPV4), (tcp(6, 30000), GSO_TCPV6)):
        expect_whole(send(stage, "vm1", packet, undone(packet, kind, MSS), 1, NIC), packet, kind, MSS)
        got = send(stage, "vm2", packet, undone(packet, kind, MSS), 21, NIC)
        expect_segments([one.frame for one in got], packet, MSS)


@guests_and_a_nic.test
def nonsense_from_a_nic_hurts_nobody(stage):
    """Headers that mean harm, through a driver that believes them: frames arrive or are dropped, and the books hold."""
    seed = random.randrange(1 << 32)
    print(f"# seed {seed}")
    dice = random.Random(seed)
    nic = stage.nic
    for _ in range(40):
        for _ in range(32):
            packet = dice.choice((tcp, udp))(dice.choice((4, 6)), dice.choice((0, 1, 100, 1400, 9000, 40000)))
            data = bytearray(to(dice.choice(("vm1", "vm2", None)), packet, NIC))
            for _ in range(dice.randrange(4)):
                data[dice.randrange(12, min(len(data), 80))] = dice.randrange(256)
            del data[dice.randrange(14, len(data) + 1) if dice.random() < 0.2 else len(data) :]
            nic.post(bytes(data), header(12, dice.choice((0, 1, 1, 2, 255)), dice.choice((0, 1, 1, 3, 4, 5, 129, 255)),
                                         dice.choice((0, 54, 65535)), dice.choice((0, 1, 536, MSS, 65535)),
                                         dice.choice((14, 34, 34, 54, 65535)), dice.choice((6, 16, 16, 65535))))
        nic.publish()
        nic.wait_sent(lambda: (stage["vm1"].poll(), stage["vm2"].poll(), stage["vm0"].poll()))
    wait_until(lambda: not any([one.poll() for one in stage.guests.values()]) and stage.dptap.balance()["held"] == 0,
               "the last frames")
    stage.dptap.settle()
    stage.cross("vm0", "vm1", 50)
    stage.cross("vm0", "vm2", 50)


# -- GRO ----------------------------------------------------------------------------------------------------------


@scenario
def a_nic_with_gro():
    with tempfile.TemporaryDirectory() as folder, \
            Nic(f"{folder}/nic.sock", deadline=60) as nic, \
            bridge("vm1", "vm2", nic=nic, settings={NIC: {"gro": "on"}}) as stage:
        stage.nic = nic
        nic.up()
        wait_until(lambda: stage.dptap.state(NIC) == "up", "the link")
        nic.keep_given(BUFFERS)
        stage.bring("vm1", features=FEATURES | OFFLOADS, buffers=BUFFERS)
        stage.bring("vm2", buffers=BUFFERS)
        yield stage
        stage.dptap.settle()
        stage.dptap.stop()


def stream(destination, n, **more):
    """n segments of one TCP connection that follow each other, and what they carry together."""
    data = payload(n * MSS)
    segments = [Packet(4, TCP, data[i * MSS : (i + 1) * MSS], partial=False, seq=1 + i * MSS, fragment=0x4000, **more)
                for i in range(n)]
    return [to(destination, segment, NIC) for segment in segments], segments[0], data


@a_nic_with_gro.test
def segments_of_a_burst_reach_a_guest_that_takes_it_as_one_packet(stage):
    frames, first, data = stream("vm1", 30)
    before = stage.dptap.port(NIC)
    with stage.dptap.frozen():
        for one in frames:
            stage.nic.post(one)
        stage.nic.publish()
    stage.nic.wait_sent()
    got = stage["vm1"].receive(1)[0]
    found = read_header(got.header)

    equal((found.flags, found.gso_type, found.gso_size, found.csum_start), (NEEDS_CSUM, GSO_TCPV4, MSS, 34),
          "the header")
    equal(got.frame[first.headers :] == data, True, "payload")
    equal(fold(got.frame[14:34]), 0xFFFF, "the sum over the IP header")
    after = stage.dptap.port(NIC)
    equal(after["merged"] - before["merged"], 29, "merged")
    equal(after["port_rx"]["received"] - before["port_rx"]["received"], 1, "received")
    stage.dptap.settle()


@a_nic_with_gro.test
def segments_of_a_burst_reach_other_guests_as_they_came(stage):
    frames, _, _ = stream("vm2", 30)
    with stage.dptap.frozen():
        for one in frames:
            stage.nic.post(one)
        stage.nic.publish()
    stage.nic.wait_sent()
    got = [one.frame for one in stage["vm2"].receive(30)]

    # but for IP's number, which counts on, and its checksum
    def kept(some):
        return [one[:18] + one[20:24] + one[26:] for one in some]

    equal(kept(got) == kept(frames), True, "segments")
    equal({fold(one[14:34]) for one in got}, {0xFFFF}, "sums over IP headers")
    stage.dptap.settle()


@a_nic_with_gro.test
def a_segment_with_a_bad_checksum_is_not_merged(stage):
    frames, _, _ = stream("vm1", 3)
    frames[1] = frames[1][:-1] + bytes((frames[1][-1] ^ 1,))
    with stage.dptap.frozen():
        for one in frames:
            stage.nic.post(one)
        stage.nic.publish()
    stage.nic.wait_sent()
    equal([one.frame for one in stage["vm1"].receive(3)] == frames, True, "the frames as they came")


# -- a NIC that cuts, and one that merges -------------------------------------------------------------------------


class Twins:
    """Two dptaps: the NIC of one is a guest of the other (net_virtio_user). Its driver cuts TCP over IPv6 and merges.

    `near` has vm0 and vm1 behind that NIC, `far` has vm2.
    """

    NIC = "net_virtio_user0"

    def __init__(self, folder, **settings):
        self.far = Dptap(uplink("net_null0"), guest("wire", socket=f"{folder}/wire.sock"),
                         guest("vm2", socket=f"{folder}/vm2.sock", mac=text(mac_of("vm2"))),
                         vdevs=["net_null0,no-rx=1"])
        self.near = Dptap(uplink(self.NIC, **settings),
                          *[guest(name, socket=f"{folder}/{name}.sock", mac=text(mac_of(name)))
                            for name in ("vm0", "vm1")],
                          vdevs=[f"{self.NIC},path={folder}/wire.sock,queue_size=256,queues=1,mrg_rxbuf=1"])
        self.guests = {}
        self.folder = folder

    def bring(self, name, **settings):
        one = self.guests[name] = Guest(f"{self.folder}/{name}.sock", **settings)
        one.up()
        (self.far if name == "vm2" else self.near).wait_state(name, "RUNNING")
        one.keep_given(BUFFERS)

    def close(self):
        for one in self.guests.values():
            one.close()

    def stop(self):
        for dptap in (self.near, self.far):
            dptap.settle()
        self.near.stop()
        self.far.stop()


@scenario
def a_nic_that_cuts_and_merges():
    with tempfile.TemporaryDirectory() as folder:
        twins = Twins(folder, lro="on")
        with twins.far, twins.near:
            try:
                twins.far.wait_state("wire", "RUNNING")
                twins.bring("vm0", features=FEATURES | OFFLOADS)
                twins.bring("vm1")
                twins.bring("vm2", features=FEATURES | OFFLOADS)
                for name in ("vm0", "vm1"):  # the far bridge learns where they are
                    through(twins, name, "vm2", udp(4, 1, False), None, 1)
                yield twins
                twins.stop()
            finally:
                twins.close()


def through(twins, source, destination, packet, hdr, n):
    twins.guests[source].send(to(destination, packet, source), hdr)
    return twins.guests[destination].receive(n)


@a_nic_that_cuts_and_merges.test
def it_gets_packets_whole(twins):
    offloads = twins.near.port(Twins.NIC)
    check("TCP_TSO" in offloads["tx_offloads"] and "TCP_LRO" in offloads["rx_offloads"], f"offloads: {offloads}")
    for packet, kind in ((tcp(4, 60000), GSO_TCPV4), (tcp(6, 60000), GSO_TCPV6)):
        expect_whole(through(twins, "vm0", "vm2", packet, undone(packet, kind, 1400), 1), packet, kind, 1400)
    equal(twins.near.port(Twins.NIC)["port_tx"]["created"], 0, "segments made before it")


@a_nic_that_cuts_and_merges.test
def what_it_does_not_cut_comes_in_segments(twins):
    packet = udp(4, 9000)
    got = through(twins, "vm0", "vm2", packet, undone(packet, GSO_UDP_L4, 1400), 7)
    equal(b"".join(one.frame[packet.headers :] for one in got) == packet.bytes[packet.headers :], True, "payload")
    equal({read_header(one.header).flags for one in got}, {NEEDS_CSUM}, "flags: it completes checksums")


@a_nic_that_cuts_and_merges.test
def it_completes_checksums(twins):
    for packet in (tcp(4, 500), udp(6, 501)):
        expect_whole(through(twins, "vm0", "vm2", packet, undone(packet), 1), packet, GSO_NONE, 0)


@a_nic_that_cuts_and_merges.test
def what_it_merges_reaches_guests_as_they_take_it(twins):
    for packet, kind in ((tcp(4, 30000), GSO_TCPV4), (tcp(6, 30000), GSO_TCPV6)):
        expect_whole(through(twins, "vm2", "vm0", packet, undone(packet, kind, 1400), 1), packet, kind, 1400)
        got = through(twins, "vm2", "vm1", packet, undone(packet, kind, 1400), 22)
        expect_segments([one.frame for one in got], packet, 1400)


# -- NICs that do less, or shall ----------------------------------------------------------------------------------


@contextlib.contextmanager
def a_tap(**settings):
    with Tap() as tap, Dptap(uplink(tap.device, **settings),
                             guest("vm0", socket="@DIR@/vm0.sock", mac=text(mac_of("vm0"))),
                             vdevs=[tap.vdev]) as dptap:
        stage = Stage(dptap)
        try:
            stage.tap = tap.attach()
            wait_until(lambda: dptap.state(tap.device) == "up", "the link")
            stage.bring("vm0", features=FEATURES | OFFLOADS)
            yield stage
        finally:
            stage.close()


def cross_to_tap(stage, packet, kind, size):
    """Frames that the kernel sees of a packet from the guest."""
    n = -(-(len(packet.bytes) - packet.headers) // size) if size else 1
    stage["vm0"].send(to(NIC, packet), undone(packet, kind, size))
    return stage.tap.receive(n)


@scenario
def a_kernel_interface():
    with a_tap() as stage:
        yield stage
        stage.dptap.settle()
        stage.dptap.stop()


@a_kernel_interface.test
def its_driver_completes_checksums(stage):
    for packet in (tcp(4, 700), udp(4, 100), tcp(6, 900), udp(6, 5)):
        equal(is_right(cross_to_tap(stage, packet, GSO_NONE, 0)[0], packet), True, "whether the checksum is right")


@a_kernel_interface.test
def packets_to_cut_come_in_segments_whose_checksums_its_driver_completes(stage):
    for packet, kind in ((tcp(4, 60000), GSO_TCPV4), (tcp(6, 60000), GSO_TCPV6), (udp(4, 9000), GSO_UDP_L4)):
        expect_segments(cross_to_tap(stage, packet, kind, 1420), packet, 1420)


@scenario
def a_nic_whose_offloads_are_off():
    with a_tap(offloads_off="tso+tx_csum+rx_csum+multi_segs") as stage:
        yield stage
        stage.dptap.settle()
        stage.dptap.stop()


@a_nic_whose_offloads_are_off.test
def all_is_done_for_it(stage):
    port = stage.dptap.port("net_tap0")
    equal((port["tx_offloads"], port["rx_offloads"]), ([], []), "offloads in use")
    for packet, kind in ((tcp(4, 60000), GSO_TCPV4), (tcp(6, 60000), GSO_TCPV6), (udp(4, 9000), GSO_UDP_L4)):
        expect_segments(cross_to_tap(stage, packet, kind, 1420), packet, 1420)
    packet = tcp(4, 700)
    equal(is_right(cross_to_tap(stage, packet, GSO_NONE, 0)[0], packet), True, "whether the checksum is right")


@scenario
def a_nic_of_one_segment():
    with tempfile.TemporaryDirectory() as folder, \
            Nic(f"{folder}/nic.sock", deadline=60) as nic, \
            bridge("vm0", nic=nic, settings={NIC: {"offloads_off": "multi_segs", "mtu": 9000}}) as stage:
        stage.nic = nic
        nic.up()
        wait_until(lambda: stage.dptap.state(NIC) == "up", "the link")
        nic.keep_given(BUFFERS)
        stage.bring("vm0", features=FEATURES | OFFLOADS)
        yield stage
        stage.dptap.settle()
        stage.dptap.stop()


@a_nic_of_one_segment.test
def jumbo_frames_and_segments_for_it_are_uplink_one_segment(stage):
    packet = tcp(4, 5000)
    with stage.dptap.expect_drops({(NIC, "port_tx", "uplink_one_segment"): 2}, ("vm0", NIC)):
        stage["vm0"].send(to(NIC, packet), undone(packet))
        stage["vm0"].send(to(NIC, packet), undone(packet, GSO_TCPV4, 4000))
    got = [one.frame for one in send(stage, NIC, packet, undone(packet, GSO_TCPV4, 1900), 3)]
    expect_segments(got, packet, 1900)


if __name__ == "__main__":
    main()
