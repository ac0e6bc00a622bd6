#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A real PCI NIC is an uplink: DPDK's net_e1000_em drives the e1000 of a machine in QEMU, our host is on its cable.

dptap and its guest (dpdk-testpmd with net_virtio_user, which answers pings) run inside that machine.
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
from machine import NIC, NIC_MAC, RemoteDptap, RemoteTestpmd, World
from netns import mac_bytes
from testing import check, equal, main, scenario, wait_until
from uplink import PacketSocket, virtio_user

ADDRESS = "192.0.2.10"
GUEST_MAC = "52:54:00:00:01:00"
STRANGER = "52:54:00:00:77:77"
QUEUE_LEN = 1000
"""Packets; dptap's own default."""


@contextlib.contextmanager
def stage(mac, *uplinks):
    """A dptap on the NIC with one guest of this address, which answers pings; stops with exact books."""
    world = World.get("e1000")
    tap = world.taps[0]
    with RemoteDptap(world.machine, world.program, *uplinks,
                     guest("vm0", mac=mac, socket="/run/vm0.sock")) as dptap, \
            RemoteTestpmd(world.machine, [virtio_user("/run/vm0.sock", mac=mac)], "icmpecho",
                          ["--mbuf-size=4096", f"--eth-peer=0,{tap.mac}"]) as testpmd:
        testpmd.run()
        dptap.wait_state("vm0", "RUNNING")
        dptap.wait_state(NIC if not uplinks else "nic", "up")
        # the guest before may have had the same address
        tap.run("ip", "neigh", "flush", "dev", "net0")
        tap.wait_for(ADDRESS)
        yield types.SimpleNamespace(tap=tap, machine=world.machine, dptap=dptap, testpmd=testpmd)
        testpmd.quit()
        dptap.stop()


@scenario
def a_nic_that_was_only_probed():
    with stage(GUEST_MAC) as things:
        yield things


@scenario
def a_nic_with_settings():
    with stage(NIC_MAC, uplink("nic", device=NIC, mtu=2000, promiscuous="off", rx_desc=256, queue_len=64)) as things:
        yield things


def echo_requests(count, size=64):
    """ICMP echo requests, each unlike the others, and the replies to them."""
    def packet(kind, number):
        body = struct.pack("!HH", os.getpid() & 0xFFFF, number) + bytes([number & 0xFF]) * (size - 8)
        even = body + bytes(len(body) % 2)
        total = (kind << 8) + sum(struct.unpack(f"!{len(even) // 2}H", even))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return struct.pack("!BBH", kind, 0, ~total & 0xFFFF) + body

    return [packet(8, number) for number in range(count)], [packet(0, number) for number in range(count)]


def send_pings(count, size):
    """Send IP packets of that many bytes, and wait for nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as connection:
        for request in echo_requests(count, size - 20)[0]:
            connection.sendto(request, (ADDRESS, 0))


def flood(count, window=64):
    """Send pings, never more than a window ahead of the answers; each must be answered, once, with its content."""
    requests, replies = echo_requests(count)
    expected, sent = set(replies), 0
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as connection:
        connection.setblocking(False)

        def step():
            nonlocal sent
            while sent < count and sent < count - len(expected) + window:
                connection.sendto(requests[sent], (ADDRESS, 0))
                sent += 1
            with contextlib.suppress(BlockingIOError):
                while True:
                    answer = connection.recv(65536)[20:]
                    if answer[0] != 0 or answer[4:6] != requests[0][4:6]:
                        continue  # an error, or the late answer to somebody else's ping
                    check(answer in expected, f"an answer that was not expected, or came twice: {answer.hex()}")
                    expected.remove(answer)
            return not expected

        wait_until(step, lambda: f"the answers to {len(expected)} of {count} pings")


def moved(dptap, port, direction, since=None):
    """The books of one direction of a port, as packets; less what they were."""
    books = dptap.port(port)[direction]
    return {word: books[word] - (since or {}).get(word, 0) for word in ("received", "delivered", "dropped", "held")}


PROBED = a_nic_that_was_only_probed


@PROBED.test
def it_is_an_uplink_without_being_named(things):
    equal([(port["name"], port["kind"], port["state"]) for port in things.dptap.ports()],
          [(NIC, "uplink", "up"), ("vm0", "guest", "RUNNING")], "ports")
    port = things.dptap.port(NIC)
    found = {word: port[word] for word in ("driver", "mode", "link", "link_mbps", "mtu", "promiscuous", "queue_len")}
    equal(found, {"driver": "net_e1000_em", "mode": "bridge", "link": "up", "link_mbps": 1000, "mtu": 1500,
                  "promiscuous": "on", "queue_len": QUEUE_LEN}, "the NIC's settings")
    equal(port["mac"].lower(), NIC_MAC, "the NIC's address")


@PROBED.test
def a_thousand_pings_are_all_answered(things):
    before = things.dptap.settle()
    with things.dptap.expect_drops({}, (NIC, "vm0")):
        flood(1000)
    after = things.dptap.settle()
    # the host's kernel may ask for the guest's address again meanwhile
    check(2000 <= after["delivered"] - before["delivered"] <= 2010, f"packets delivered: {before}, {after}")


@PROBED.test
def frames_of_full_size_pass(things):
    with things.dptap.expect_drops({}, (NIC, "vm0")):
        things.tap.ping(ADDRESS, size=1500 - 28)


@PROBED.test
def longer_frames_are_not_received(things):
    before = things.dptap.port(NIC)["port_rx"]
    with things.dptap.expect_drops({}, (NIC, "vm0")):
        send_pings(3, 2000)
        # behind them: when it is answered, the NIC has seen them all
        flood(1)
    received = things.dptap.port(NIC)["port_rx"]["received_bytes"] - before["received_bytes"]
    check(received < 2000, f"{received} bytes received")


@PROBED.test
def a_frame_for_a_stranger_is_otherhost(things):
    def received():
        return things.dptap.port(NIC)["port_rx"]["received"]

    before = things.dptap.drops(NIC)
    with things.dptap.expect_drops({(NIC, "port_rx", "mac_not_here"): 10}, (NIC, "vm0")):
        things.tap.flood(STRANGER, 10, received)
    key = ("port_rx", "OTHERHOST", "mac_not_here")
    equal(things.dptap.drops(NIC)[key] - before.get(key, 0), 10, "drops with OTHERHOST")


@PROBED.test
def asking_for_it_does_not_disturb_the_link(things):
    def changes():
        return things.dptap.log().count(f"uplink '{NIC}': link ")

    before = changes()
    things.dptap.ask_repeatedly(f"/dptap/port,{NIC}", 500)
    equal(changes(), before, "changes of the link that dptap told of")


@PROBED.test
def a_pulled_cable_keeps_a_lane_full_and_drops_the_rest(things):
    dptap, testpmd = things.dptap, things.testpmd
    cause = ("port_tx", "FULL_RING", "lane_uplink_link_down")
    before = moved(dptap, NIC, "port_tx")
    drops_before = dptap.drops()
    listener = PacketSocket("net0")

    things.machine.set_link(False)
    dptap.wait_state(NIC, "down")
    equal(dptap.port(NIC)["link"], "down", "link")
    testpmd.halt()
    testpmd.say("set fwd txonly")
    testpmd.run()
    wait_until(lambda: dptap.drops(NIC).get(cause, 0) >= 5000, lambda: f"5000 drops: {dptap.drops(NIC)}")
    testpmd.halt()
    dptap.settle(held=QUEUE_LEN)
    while_down = moved(dptap, NIC, "port_tx", before)
    drops = {key: n - drops_before.get(key, 0) for key, n in dptap.drops().items() if n != drops_before.get(key, 0)}
    equal(drops, {cause[1:]: while_down["received"] - QUEUE_LEN}, "drops while the link was down")
    equal(while_down["delivered"], 0, "packets given to a NIC without link")

    things.machine.set_link(True)
    dptap.wait_state(NIC, "up")
    dptap.settle()
    arrived = []

    def all_arrived():
        arrived.extend(frame for frame in listener.poll() if frame[12:14] == b"\x08\x00")
        return len(arrived) >= QUEUE_LEN

    wait_until(all_arrived, lambda: f"what waited in the lane: {len(arrived)} of {QUEUE_LEN} frames")
    listener.close()
    equal({(len(arrived), frame[6:12].hex(":")) for frame in arrived}, {(QUEUE_LEN, GUEST_MAC)}, "frames that waited")
    equal(moved(dptap, NIC, "port_tx", before)["delivered"], QUEUE_LEN, "packets delivered in the end")
    testpmd.say("set fwd icmpecho")
    testpmd.run()
    flood(100)


SET = a_nic_with_settings


@SET.test
def its_settings_are_told(things):
    port = things.dptap.port("nic")
    found = {word: port[word] for word in ("device", "driver", "mtu", "promiscuous", "queue_len")}
    equal(found, {"device": NIC, "driver": "net_e1000_em", "mtu": 2000, "promiscuous": "off", "queue_len": 64},
          "the NIC's settings")


@SET.test
def a_larger_mtu_lets_larger_frames_pass_both_ways(things):
    with things.dptap.expect_drops({}, ("nic", "vm0")):
        things.tap.ping(ADDRESS, size=2000 - 28)


@SET.test
def a_frame_above_the_mtu_is_not_sent(things):
    # the NIC itself is not so strict about what it receives: the guest gets the request, and its answer is too long
    with things.dptap.expect_drops({("nic", "port_tx", "frame_exceeds_mtu"): 3}, ("nic", "vm0")):
        send_pings(3, 2001)


@SET.test
def a_nic_that_is_not_promiscuous_leaves_frames_for_strangers_on_the_cable(things):
    sender = PacketSocket("net0")
    before = moved(things.dptap, "nic", "port_rx")
    with things.dptap.expect_drops({}, ("nic", "vm0")):
        for _ in range(100):
            sender.send(mac_bytes(STRANGER) + mac_bytes(things.tap.mac) + b"\x88\xb5" + bytes(46))
        # a ping behind them: when it is answered, the NIC has seen them all
        flood(1)
    sender.close()
    received = moved(things.dptap, "nic", "port_rx", before)["received"]
    check(1 <= received <= 10, f"{received} packets received, of one that was for the guest")


if __name__ == "__main__":
    main()
