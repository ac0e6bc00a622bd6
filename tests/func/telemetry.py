#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""What /dptap/... on DPDK's telemetry socket answers: shapes, sums that agree, and sense for nonsense."""

import ctypes
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from frames import BROADCAST, frame, mac, text
from stage import bridge, mac_of
from testing import Skip, check, equal, main, scenario
from virtqueue import Desc

COUNTS = ["received", "received_bytes", "created", "created_bytes", "delivered", "delivered_bytes", "dropped",
          "dropped_bytes", "held"]
REASONS = ["NOT_SPECIFIED", "NO_SOCKET", "PKT_TOO_SMALL", "TCP_CSUM", "SOCKET_FILTER", "UDP_CSUM", "NETFILTER_DROP",
           "OTHERHOST", "IP_CSUM", "IP_INHDR", "IP_RPFILTER", "UNICAST_IN_L2_MULTICAST", "XFRM_POLICY", "IP_NOPROTO",
           "SOCKET_RCVBUFF", "PROTO_MEM", "SKB_CSUM", "SKB_COPY_DATA", "SKB_GSO_SEG", "DEV_HDR", "FULL_RING"]
LIMIT = 16384
"""What one message of DPDK's telemetry can carry."""


@scenario
def some_traffic_and_some_drops():
    with bridge("vm0", "vm1", "vm2", learn=("vm2",), settings={"vm1": {"queue_len": 64}}) as stage:
        stage.bring("vm0")
        stage.bring("vm1")
        stage.cross("vm0", "vm1", 10, 100)
        stage.cross("vm1", "vm0", 5, 200)
        vm0 = stage["vm0"]
        vm0.send_many([frame(mac_of("vm0"), mac_of("vm0"), 60)] * 3)     # OTHERHOST/mac_is_sender
        vm0.send_chain([Desc(0x4000_0000_0000, 100)])                    # SKB_COPY_DATA/addr_outside_memory
        vm0.send_many([frame(mac(0x777), mac_of("vm0"), 64)] * 4)        # into net_null
        vm0.send(frame(BROADCAST, mac_of("vm0"), 300))                   # to vm1 and net_null
        stage["vm1"].receive(1)
        stage.dptap.settle()
        yield stage
        stage.dptap.stop()


ALL = some_traffic_and_some_drops


@ALL.test
def info_tells_what_runs(stage):
    info = stage.dptap.tele("/dptap/info")

    equal(list(info), ["version", "dpdk", "pid", "uptime_s", "workers", "uplinks", "guests", "config", "mbufs",
                       "mbufs_free", "rebalance", "moved_by_hand", "moved_by_itself"], "keys")
    equal(info["pid"], stage.dptap.process.pid, "pid")
    equal([info["workers"], info["uplinks"], info["guests"]], [1, 1, 3], "workers, uplinks, guests")
    equal(info["config"], "command line", "config")
    check(0 <= info["uptime_s"] < 600, f"uptime_s is {info['uptime_s']}")
    check(re.match(r"DPDK \d+\.\d+|\d+\.\d+", info["dpdk"]), f"dpdk is {info['dpdk']!r}")
    check(0 < info["mbufs_free"] <= info["mbufs"], f"mbufs_free is {info['mbufs_free']} of {info['mbufs']}")
    equal(info["version"] in subprocess.run([os.environ["DPTAP"], "--version"], capture_output=True, text=True,
                                            check=True).stdout, True, "the version is that of --version")


@ALL.test
def ports_lists_every_port_with_its_state(stage):
    ports = stage.dptap.ports()

    equal(sorted((p["name"], p["kind"], p["state"], p["dropped"]) for p in ports),
          [("net_null0", "uplink", "up", 0), ("vm0", "guest", "RUNNING", 4), ("vm1", "guest", "RUNNING", 0),
           ("vm2", "guest", "LISTENING", 0)], "ports")
    equal([list(p) for p in ports], [["name", "kind", "state", "dropped"]] * 4, "keys")


@ALL.test
def port_tells_a_guests_settings_and_books(stage):
    vm0, vm1, vm2 = (stage.dptap.port(name) for name in ("vm0", "vm1", "vm2"))

    for one in (vm0, vm1, vm2):
        equal([list(one[way]) for way in ("from_guest", "to_guest")], [COUNTS] * 2, "keys of a direction")
    equal([vm0["name"], vm0["kind"], vm0["state"]], ["vm0", "guest", "RUNNING"], "name, kind, state")
    equal(vm0["socket"], stage.dptap.socket("vm0"), "socket")
    equal(vm0["mac"].lower(), text(mac_of("vm0")), "mac")
    equal(int(vm0["features"], 16), stage["vm0"].features, "features")
    equal([vm0["mergeable"] in (1, True, "yes", "on"), vm0["event_idx"] in (0, False, "no", "off")], [True, True],
          f"mergeable and event_idx of {vm0['mergeable']!r}, {vm0['event_idx']!r}")
    equal(vm1["queue_len"], 64, "queue_len of vm1")
    equal(vm0["queue_len"], 1000, "queue_len of vm0")
    sent = 10 * 100 + 3 * 60 + 4 * 64 + 300
    equal(vm0["from_guest"], {
        "received": 19, "received_bytes": sent, "created": 1, "created_bytes": 300,
        "delivered": 16, "delivered_bytes": 1000 + 4 * 64 + 2 * 300, "dropped": 4, "dropped_bytes": 180, "held": 0},
        "vm0's books, from_guest")
    equal([vm1["to_guest"][word] for word in ("received", "received_bytes", "delivered", "delivered_bytes", "dropped")],
          [11, 1300, 11, 1300, 0], "vm1's books, to_guest")
    equal(sum(sum(vm2[way].values()) for way in ("from_guest", "to_guest")), 0, "vm2's books")


@ALL.test
def port_tells_an_uplinks_settings_and_books(stage):
    null = stage.dptap.port("net_null0")

    equal([list(null[way]) for way in ("port_rx", "port_tx")], [COUNTS] * 2, "keys of a direction")
    equal([null["name"], null["kind"], null["state"]], ["net_null0", "uplink", "up"], "name, kind, state")
    check("link" in null and null["mtu"] >= 1500, f"link and mtu in {null}")
    equal(sorted(null["lost_before"]), ["ierrors", "imissed", "rx_nombuf"], "keys of lost_before")
    equal(sum(null["lost_before"].values()), 0, "lost before")
    equal([null["port_tx"][word] for word in ("received", "delivered", "delivered_bytes")], [5, 5, 4 * 64 + 300],
          "what net_null took")


@ALL.test
def drops_of_a_port_are_by_direction_reason_and_cause(stage):
    answer = stage.dptap.tele("/dptap/drops,vm0")

    equal([answer["name"], answer["packets"], answer["bytes"]], ["vm0", 4, 180], "name, packets, bytes")
    equal(answer["from_guest"], {"OTHERHOST": {"mac_is_sender": 3}, "SKB_COPY_DATA": {"addr_outside_memory": 1}},
          "from_guest")
    equal(answer.get("to_guest", {}), {}, "to_guest")


@ALL.test
def drops_of_all_ports_are_the_sum(stage):
    answer = stage.dptap.tele("/dptap/drops")

    equal(answer, {"packets": 4, "bytes": 180, "OTHERHOST": {"mac_is_sender": 3},
                   "SKB_COPY_DATA": {"addr_outside_memory": 1}}, "drops")


@ALL.test
def the_balance_is_the_sum_of_the_ports(stage):
    balance = stage.dptap.balance()
    ports = {p["name"]: stage.dptap.port(p["name"]) for p in stage.dptap.ports()}
    inward = [p.get("from_guest") or p["port_rx"] for p in ports.values()]
    outward = [p.get("to_guest") or p["port_tx"] for p in ports.values()]

    equal(balance["balanced"], "yes", "balanced")
    equal(balance["difference"], 0, "difference")
    for unit in ("", "_bytes"):
        equal(balance["received" + unit], sum(b["received" + unit] for b in inward), "received" + unit)
        equal(balance["created" + unit], sum(b["created" + unit] for b in inward), "created" + unit)
        equal(balance["delivered" + unit], sum(b["delivered" + unit] for b in outward), "delivered" + unit)
        equal(balance["dropped" + unit], sum(b["dropped" + unit] for b in inward + outward), "dropped" + unit)
    equal(sum(b["delivered"] for b in inward), sum(b["received"] for b in outward), "handed on and taken over")


@ALL.test
def lcores_add_up_to_the_balance(stage):
    lcores = stage.dptap.lcores()
    balance = stage.dptap.balance()

    equal([one["idle"] for one in lcores], ["poll"] * len(lcores), "how workers idle")
    workers = [one for one in lcores if one["queues"]]
    equal(len(workers), 1, "lcores with queues")
    for key in ("lcore", "socket", "load_percent", "busy_cycles", "idle_cycles", "sleeps", "sleep_cycles", "rounds",
                "queues", "queue_load_percent"):
        check(key in workers[0], f"{key} is missing in {workers[0]}")
    equal(sorted(q.split(":")[0] for q in workers[0]["queues"]), ["net_null0", "vm0", "vm1", "vm2"], "ports polled")
    for word in ("received", "delivered", "dropped"):
        equal(sum(one[word] for one in lcores), balance[word], f"{word} over all lcores")
    check(workers[0]["rounds"] > 0, f"rounds of {workers[0]}")
    check(workers[0]["busy_cycles"] > 0 and workers[0]["idle_cycles"] > 0, f"cycles of {workers[0]}")


def node_of_own_memory():
    """The NUMA node of some memory of this process, negative: the kernel does not tell."""
    memory = ctypes.create_string_buffer(1)
    pages, nodes = (ctypes.c_void_p * 1)(ctypes.addressof(memory) & ~4095), (ctypes.c_int * 1)(-1)
    ctypes.CDLL("libnuma.so.1").numa_move_pages(0, ctypes.c_ulong(1), pages, None, nodes, 0)
    return nodes[0]


@ALL.test
def numa_tells_of_everything_that_lies_on_some_node(stage):
    if node_of_own_memory() < 0:
        raise Skip("the kernel does not tell where memory lies")
    nodes = stage.dptap.numa()

    def all_of(key):
        return sorted(one for node in nodes.values() for one in node[key])

    pairs = ["net_null0:0", "vm0:0", "vm1:0", "vm2:0"]
    equal(all_of("queue_pairs"), pairs, "queue pairs")
    equal(all_of("lanes"), pairs, "lanes")
    equal(all_of("guests"), ["vm0", "vm1"], "guests that have memory")
    equal([all_of("lcores"), all_of("ledgers")], [[0, 1], [0, 1]], "lcores and their ledgers")
    info = stage.dptap.tele("/dptap/info")
    equal(sum(node["mbufs"] for node in nodes.values()), info["mbufs"], "mbufs")
    check(sum(node["memory_bytes"] for node in nodes.values()) > info["mbufs"] * 2048,
          f"memory of EAL's is less than that of the mbufs: {nodes}")
    check(all_of("cpus"), f"no CPUs: {nodes}")
    if len(nodes) == 1:
        equal(nodes["0"]["crossing"], {}, "what crosses nodes where there is one")
    equal(stage.dptap.tele(f"/dptap/numa,{max(map(int, nodes)) + 1}"), {}, "behind the last node")


@ALL.test
def reasons_are_the_21_of_the_kernel_with_their_causes(stage):
    reasons = stage.dptap.tele("/dptap/reasons")

    equal([(one["code"], name) for name, one in reasons.items()], list(enumerate(REASONS)), "codes and names")
    equal({tuple(one) for one in reasons.values()}, {("code", "meaning", "causes")}, "keys")
    check(all(one["meaning"] for one in reasons.values()), "a reason without a meaning")
    causes = [cause for one in reasons.values() for cause in one["causes"]]
    equal(len(causes), len(set(causes)), "causes, each under one reason")
    equal(reasons["NOT_SPECIFIED"]["causes"], [], "causes of NOT_SPECIFIED")
    check({"mac_is_sender", "addr_outside_memory", "lane_guest_no_buffers", "hdr_gso_type"} <= set(causes), "causes")


@ALL.test
def every_cause_and_every_reason_is_explained(stage):
    for name, reason in stage.dptap.tele("/dptap/reasons").items():
        told = stage.dptap.tele(f"/dptap/explain,{name}")
        equal(told, {"name": name, "kind": "reason", **reason}, "a reason explained")
        for cause in reason["causes"]:
            told = stage.dptap.tele(f"/dptap/explain,{cause}")
            equal(list(told), ["name", "kind", "reason", "what", "culprit", "remedy"], "keys of a cause explained")
            equal([told["name"], told["kind"], told["reason"]], [cause, "cause", name], "a cause explained")
            for word in ("what", "culprit", "remedy"):
                check(len(told[word]) > 5, f"{word} of {cause} is {told[word]!r}")


@ALL.test
def the_list_of_reasons_on_the_command_line_is_the_same(stage):
    text_ = subprocess.run([os.environ["DPTAP"], "--list-reasons"], capture_output=True, text=True, check=True).stdout

    for reason, told in stage.dptap.tele("/dptap/reasons").items():
        for cause in told["causes"]:
            check(re.search(rf"\b{reason}\b.*\b{cause}\b", text_), f"--list-reasons does not tell of {cause}")


@ALL.test
def an_unknown_name_gets_no_answer_but_an_answer(stage):
    for command in ("/dptap/port,vm9", "/dptap/port", "/dptap/port,", "/dptap/drops,vm9", "/dptap/explain,nonsense",
                    "/dptap/explain", "/dptap/explain,mac_is_sender_", "/dptap/port," + "x" * 900, "/dptap/nonsense",
                    "/dptap/drops,vm0,vm1", "/dptap/port,%s%n", "/dptap/explain,OTHERHOST,mac_is_sender"):
        answer = json.loads(stage.dptap.tele_raw(command))
        name = command.split(",")[0]
        equal(list(answer), [name], f"the answer to {command[:40]}")
        # DPDK's library answers null where a handler fails
        check(answer[name] in (None, {}, []) or "error" in answer[name], f"{command[:40]} is answered {answer[name]!r}")
    equal(stage.dptap.state("vm0"), "RUNNING", "state")


@ALL.test
def a_list_begins_at_a_number_or_says_what_it_wants(stage):
    for command in ("/dptap/ports,abc", "/dptap/ports,-1", "/dptap/ports,1x", "/dptap/lcores,99999999999"):
        check("no number to begin with" in stage.dptap.tele(command).get("error", ""), f"{command} is no error")
    check("1" in stage.dptap.tele("/dptap/ports,1"), "/dptap/ports,1 does not begin with port 1")
    check("0" not in stage.dptap.tele("/dptap/ports,1"), "/dptap/ports,1 begins with port 0")


@ALL.test
def every_endpoint_is_listed_and_explains_itself(stage):
    mine = [name for name in json.loads(stage.dptap.tele_raw("/"))["/"] if name.startswith("/dptap/")]

    equal(sorted(mine), ["/dptap/" + name for name in ("balance", "drops", "explain", "info", "lcores", "move", "numa",
                                                       "port", "ports", "reasons")], "endpoints")
    for name in mine:
        help_ = json.loads(stage.dptap.tele_raw(f"/help,{name}"))["/help"]
        check(len(help_[name]) > 10, f"help of {name} is {help_}")


@ALL.test
def dpdks_own_client_can_ask(stage):
    tool = "/usr/bin/dpdk-telemetry.py"
    if not os.path.exists(tool):
        raise Skip(f"no {tool}")
    done = subprocess.run([tool, "-f", stage.dptap.prefix], input="/dptap/balance\n/dptap/drops,vm0\n", text=True,
                          capture_output=True, check=False, timeout=60)
    for part in ('"/dptap/balance"', '"mac_is_sender": 3'):
        check(part in done.stdout, f"no {part} in {done.stdout!r}")


@scenario
def sixty_four_guests():
    """Names as long as they may be, and each guest with drops of its own."""
    names = [f"guest-with-a-rather-long-name{i:02d}" for i in range(64)]
    with bridge(settings={}, own=[f"--guest={name},socket=@DIR@/{i}.sock,mac={text(mac(i))},queue_len=64"
                                  for i, name in enumerate(names)] + [
                                      f"--guest=vm1,socket=@DIR@/vm1.sock,mac={text(mac_of('vm1'))}"]) as stage:
        stage.names = names
        stage.bring("vm1")
        stage["vm1"].send_many([frame(mac(i), mac_of("vm1"), 60) for i in range(64) for _ in range(i + 1)])
        stage.dptap.settle()
        yield stage
        stage.dptap.stop()


@sixty_four_guests.test
def every_answer_is_whole_and_within_the_limit_at_64_guests(stage):
    for command in ["/dptap/" + name for name in ("info", "ports", "drops", "lcores", "numa", "reasons", "balance")] + [
            f"/dptap/port,{stage.names[63]}", f"/dptap/drops,{stage.names[63]}", "/dptap/explain,FULL_RING",
            "/dptap/explain,NO_SOCKET"]:
        raw = stage.dptap.tele_raw(command)
        check(len(raw) < LIMIT, f"{command} is answered with {len(raw)} bytes")
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = None
        check(answer and list(answer.values())[0], f"{command} is answered with no JSON: {raw[-80:]!r}")

    ports = {p["name"]: p for p in stage.dptap.ports()}
    equal(len(ports), 66, "ports")
    equal([ports[name]["dropped"] for name in stage.names], list(range(1, 65)), "drops of each")
    lcores = stage.dptap.lcores()
    equal(len([q for one in lcores for q in one["queues"]]), 66, "queues over all lcores")
    equal(stage.dptap.tele("/dptap/drops")["NO_SOCKET"], {"guest_not_connected": 64 * 65 // 2}, "drops")


if __name__ == "__main__":
    main()
