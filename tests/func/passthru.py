#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""A pass-through uplink belongs to one guest: what comes goes to it, what it sends leaves, whatever the addresses."""

import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, uplink
from frames import BROADCAST, MULTICAST, frame, mac, text
from stage import Stage, mac_of
from testing import equal, main, scenario
from uplink import Nic

PORTS = ("vm0", "net_vhost0")
ADDRESSES = (mac_of("vm0"), mac(0x1234), mac(0x5678), BROADCAST, MULTICAST, bytes(6))


@scenario
def one_guest_owns_the_uplink():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
            Nic(os.path.join(directory, "nic.sock")) as nic, \
            Dptap(uplink("net_vhost0", mode="passthru"), guest("vm0", mac=text(mac_of("vm0"))),
                  vdevs=[nic.vdev]) as dptap:
        stage = Stage(dptap)
        stage.nic = nic
        nic.up()
        dptap.wait_state("net_vhost0", "up")
        nic.keep_given()
        try:
            stage.bring("vm0")
            yield stage
            dptap.stop()
        finally:
            stage.close()


def every_address(stage):
    """Frames from and to all kinds of addresses."""
    return [frame(dst, src, 60 + stage.number() % 200, stage.number()) for dst in ADDRESSES for src in ADDRESSES]


@one_guest_owns_the_uplink.test
def whatever_the_guest_sends_leaves_by_the_uplink(stage):
    sent = every_address(stage)
    before = stage.dptap.settle()

    stage["vm0"].send_many(sent)

    equal([g.frame for g in stage.nic.receive(len(sent))], sent, "frames at the uplink")
    after = stage.dptap.settle()
    equal([after[word] - before[word] for word in ("received", "created", "delivered", "dropped")],
          [len(sent), 0, len(sent), 0], "received, created, delivered, dropped")
    stage["vm0"].nothing_arrived()


@one_guest_owns_the_uplink.test
def whatever_the_uplink_yields_goes_to_the_guest(stage):
    sent = every_address(stage)
    before = stage.dptap.settle()

    stage.nic.send_many(sent)

    equal([g.frame for g in stage["vm0"].receive(len(sent))], sent, "frames at the guest")
    after = stage.dptap.settle()
    equal([after[word] - before[word] for word in ("received", "created", "delivered", "dropped")],
          [len(sent), 0, len(sent), 0], "received, created, delivered, dropped")
    stage.nic.nothing_arrived()


@one_guest_owns_the_uplink.test
def what_comes_while_the_guest_is_away_is_counted_under_why_it_is_not_there(stage):
    stage.drop("vm0")
    with stage.dptap.expect_drops({("vm0", "to_guest", "guest_not_connected"): len(ADDRESSES) ** 2}, PORTS):
        stage.nic.send_many(every_address(stage))

    stage.add("vm0").connect()
    stage.dptap.wait_state("vm0", "NEGOTIATING")
    with stage.dptap.expect_drops({("vm0", "to_guest", "guest_not_ready"): len(ADDRESSES) ** 2}, PORTS):
        stage.nic.send_many(every_address(stage))

    stage.bring("vm0")
    whatever_the_uplink_yields_goes_to_the_guest(stage)


@scenario
def nobody_owns_the_uplink():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as directory, \
            Nic(os.path.join(directory, "nic.sock")) as nic, \
            Dptap(uplink("net_vhost0", mode="passthru"), vdevs=[nic.vdev]) as dptap:
        stage = Stage(dptap)
        stage.nic = nic
        nic.up()
        dptap.wait_state("net_vhost0", "up")
        yield stage
        dptap.stop()


@nobody_owns_the_uplink.test
def what_comes_where_there_is_no_guest_is_no_destination(stage):
    with stage.dptap.expect_drops({("net_vhost0", "port_rx", "no_destination"): len(ADDRESSES) ** 2}, ("net_vhost0",)):
        stage.nic.send_many(every_address(stage))


if __name__ == "__main__":
    main()
