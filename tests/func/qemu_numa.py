#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""On a machine of two NUMA nodes everything that a guest needs is where its memory is, and what is not is told.

QEMU plays the machine: two nodes, with a worker of dptap on each. dptap and its guests (guest.py) run inside it.
"""

import contextlib
import os
import sys
import types

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import guest, uplink
from frames import frame
from guest import header
from machine import NIC, RemoteDptap, RemoteGuest, World
from stage import mac_of
from testing import check, equal, main, scenario, wait_until
import vhost_user as vu

FEATURES = vu.F_VERSION_1 | vu.F_MRG_RXBUF | vu.F_PROTOCOL_FEATURES
WORKER = {0: 1, 1: 2}
"""The lcore of each node's worker."""
SOCKETS = {"vm0": "/run/vm0.sock", "vm1": "/run/vm1.sock"}


@scenario
def a_worker_on_each_of_two_nodes():
    world = World.get("e1000", nodes=2)
    guests = [guest(name, socket=path, mac=mac_of(name).hex(":"), queue_len=64) for name, path in SOCKETS.items()]
    with RemoteDptap(world.machine, world.program, uplink("nic", device=NIC, rx_desc=256, tx_desc=256, queue_len=64),
                     *guests) as dptap:
        yield types.SimpleNamespace(machine=world.machine, dptap=dptap)
        dptap.stop()


NODES = a_worker_on_each_of_two_nodes


@contextlib.contextmanager
def guests_on(things, **nodes):
    """These guests run, with their memory on these nodes: by name; gone at the end."""
    with contextlib.ExitStack() as stack:
        running = {}
        for name, node in nodes.items():
            running[name] = stack.enter_context(RemoteGuest(things.machine, SOCKETS[name], FEATURES, node))
            things.dptap.wait_state(name, "RUNNING")
        yield running
    for name in nodes:
        things.dptap.wait_state(name, "LISTENING")


def where(things, name):
    """On which node each part of a guest is, by dptap's own account."""
    nodes, port = things.dptap.numa(), things.dptap.port(name)

    def node_of(key, what):
        found = [int(node) for node, here in nodes.items() if what in here[key]]
        equal(len(found), 1, f"nodes whose {key} have {what}, in {nodes}")
        return found[0]

    return {"memory": node_of("guests", name), "pair": node_of("queue_pairs", f"{name}:0"),
            "lane": node_of("lanes", f"{name}:0"), "lcore": port["lcore"], "lcore_node": port["lcore_node"],
            "memory_node": port["memory_node"], "cross_node": port["cross_node"]}


def all_on(node):
    """What where() finds if all is on one node."""
    return {"memory": node, "pair": node, "lane": node, "lcore": WORKER[node], "lcore_node": node,
            "memory_node": node, "cross_node": "no"}


def crossing(things, name):
    """What of a guest's queue pair crosses nodes: {node of its worker: set of what is elsewhere}."""
    return {int(node): what for node, here in things.dptap.numa().items()
            if (what := {key for key, names in here["crossing"].items() if f"{name}:0" in names})}


def cross(things, sender, receiver, running, count=20):
    """Frames from one guest to another, all of which arrive, once and in order."""
    frames = [frame(mac_of(receiver), mac_of(sender), 60 + 50 * number, number) for number in range(count)]
    arrived = []
    with things.dptap.expect_drops({}, SOCKETS):
        for one in frames:
            running[sender].send(header(12), one)

        def all_there():
            arrived.extend(data for _, data in running[receiver].poll())
            return len(arrived) >= count

        wait_until(all_there, lambda: f"frame {len(arrived) + 1} of {count}", pause=0.05)
    equal(arrived, frames, f"frames from {sender} to {receiver}")


@NODES.test
def each_node_has_memory_mbufs_and_the_ledgers_of_its_lcores(things):
    nodes = things.dptap.numa()

    equal({node: [here[key] for key in ("cpus", "lcores", "ledgers")] for node, here in nodes.items()},
          {"0": [[0, 1], [0, 1], [0, 1]], "1": [[2], [2], [2]]}, "CPUs, lcores and ledgers")
    for node, here in nodes.items():
        check(100 << 20 <= here["memory_bytes"] <= 128 << 20, f"EAL's memory on node {node}: {here}")
        check(0 < here["memory_bytes_free"] < here["memory_bytes"], f"free memory on node {node}: {here}")
        check(0 < here["mbufs_free"] <= here["mbufs"], f"mbufs on node {node}: {here}")
    equal(sum(here["mbufs"] for here in nodes.values()), things.dptap.tele("/dptap/info")["mbufs"], "mbufs")
    equal(sum(here["forwarding_tables"] for here in nodes.values()), 2, "forwarding tables: the NIC's, and another")
    equal([here["guests"] for here in nodes.values()], [[], []], "guests, of which none is there")


@NODES.test
def a_guest_is_served_where_its_memory_is(things):
    for node in (1, 0):
        with guests_on(things, vm0=node):
            equal(where(things, "vm0"), all_on(node), f"vm0 with memory on node {node}")
            equal(crossing(things, "vm0"), {}, "what crosses nodes")


@NODES.test
def a_guest_that_comes_back_on_the_other_node_is_moved_lane_and_all(things):
    with guests_on(things, vm0=0, vm1=1) as running:
        equal([where(things, name) for name in SOCKETS], [all_on(0), all_on(1)], "vm0 and vm1")
        cross(things, "vm0", "vm1", running)
        cross(things, "vm1", "vm0", running)
    with guests_on(things, vm0=1, vm1=0) as running:
        equal([where(things, name) for name in SOCKETS], [all_on(1), all_on(0)], "vm0 and vm1, the other way round")
        cross(things, "vm0", "vm1", running)
        cross(things, "vm1", "vm0", running)
    with guests_on(things, vm0=1, vm1=1) as running:
        equal([where(things, name) for name in SOCKETS], [all_on(1), all_on(1)], "vm0 and vm1, on one node")
        cross(things, "vm0", "vm1", running)
        cross(things, "vm1", "vm0", running)


@NODES.test
def a_queue_pair_that_is_sent_away_says_what_it_has_left_behind(things):
    with guests_on(things, vm0=1, vm1=1) as running:
        equal(things.dptap.tele(f"/dptap/move,vm0,0,{WORKER[0]}")["moved"], "yes", "moved")
        expected = {**all_on(1), "lcore": WORKER[0], "lcore_node": 0, "cross_node": "yes"}
        equal(where(things, "vm0"), expected, "vm0, polled on the other node")
        equal(crossing(things, "vm0"), {0: {"memory", "lane", "queue_pair"}}, "what crosses nodes")
        cross(things, "vm0", "vm1", running)
        cross(things, "vm1", "vm0", running)
    # its memory is where it was: nobody takes back what was done by hand, and the lane goes after it
    with guests_on(things, vm0=1):
        equal(where(things, "vm0"), {**expected, "pair": 0, "lane": 0}, "vm0, back on its lcore")
        equal(crossing(things, "vm0"), {0: {"memory"}}, "what crosses nodes")


if __name__ == "__main__":
    main()
