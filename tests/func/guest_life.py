#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Front ends come, go, stumble and lie; the one concerned feels it, the others do not.

vm0 lives the adventurous life, vm1 and vm2 talk meanwhile.
"""

import os
import random
import signal
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "support"))

# pylint: disable=wrong-import-position
from dptap import Dptap, guest, uplink
from frames import frame, text
from guest import FEATURES, FROM_GUEST, TO_GUEST, Guest
from stage import Stage, bridge, mac_of
from testing import check, equal, main, scenario, wait_until
from uplink import null
import vhost_user as vu

PORTS = ("vm0", "vm1", "vm2", "net_null0")


@scenario
def three_guests():
    with bridge("vm0", "vm1", "vm2") as stage:
        for name in ("vm0", "vm1", "vm2"):
            stage.bring(name)
        yield stage
        stage.dptap.stop()


def others_talk(stage, n=50):
    stage.cross("vm1", "vm2", n)
    stage.cross("vm2", "vm1", n)


def at_rest(stage):
    """Nobody lost anything, and vm0 can come back and talk."""
    others_talk(stage)
    stage.bring("vm0")
    stage.cross("vm0", "vm1", 5)
    stage.cross("vm1", "vm0", 5)
    stage.dptap.settle()


def hear_announcements(stage):
    """Some messages make dptap announce vm0 to the others; they have heard nothing else."""
    stage.dptap.settle()
    for name in ("vm1", "vm2"):
        for received in stage[name].poll():
            equal(received.frame[12:14].hex(), "8035", f"EtherType of a frame that {name} got from nobody: RARP")


def connection(stage):
    """A front end on vm0's socket that has said nothing yet, the one before it gone for good."""
    stage.drop("vm0")
    stage.dptap.wait_state("vm0", "LISTENING")
    fe = vu.FrontEnd.connect(stage.dptap.socket("vm0"))
    fe.get_features()
    return fe


@three_guests.test
def the_device_status_is_kept(stage):
    vm0 = stage["vm0"]
    equal(vm0.front_end.get_status() & 0xF, 0xF, "status of a running device")
    at_rest(stage)


# -- leaving halfway -------------------------------------------------------------------------------------------


@three_guests.test
def a_front_end_may_leave_after_any_message(stage):
    steps = 0
    while True:
        stage.drop("vm0")
        one = stage.add("vm0").connect()
        fe, left = one.front_end, [steps]
        plain = fe.tell

        class Enough(Exception):
            """The front end dies here."""

        def tell(*args, left=left, plain=plain, stop=Enough, **more):
            if left[0] == 0:
                raise stop
            left[0] -= 1
            return plain(*args, **more)

        fe.tell = tell
        try:
            one.start()
        except Enough:
            steps += 1
            continue
        break
    check(steps > 12, f"starting a guest takes {steps} messages")
    with stage.dptap.expect_drops({}, PORTS):
        at_rest(stage)


@three_guests.test
def a_message_cut_short_costs_the_connection_only(stage):
    payload = struct.pack("=IIQQQQ", 1, 0, 0x100000, 0x1000, 0, 0)
    for cut in (1, 4, 11, 12, 13, 12 + 8, 12 + len(payload) - 1):
        with connection(stage) as fe:
            fe.send_raw((struct.pack("=III", vu.SET_MEM_TABLE, 1, len(payload)) + payload)[:cut])
    with stage.dptap.expect_drops({}, PORTS):
        at_rest(stage)


# -- nonsense --------------------------------------------------------------------------------------------------


@three_guests.test
def garbage_costs_the_connection_only(stage):
    noise = random.Random(7)
    for data in (bytes(12), b"\xff" * 12, noise.randbytes(12), noise.randbytes(5000), b"GET / HTTP/1.1\r\n\r\n",
                 struct.pack("=III", vu.SET_FEATURES, 1, 0xFFFFFFFF),
                 struct.pack("=III", vu.SET_FEATURES, 1, 0x7FFFFFFF),
                 struct.pack("=III", 0, 1, 0), struct.pack("=III", 50, 1, 0), struct.pack("=III", 255, 1, 0),
                 struct.pack("=III", 0xFFFFFFFF, 1, 0), struct.pack("=III", vu.GET_FEATURES, 0, 0),
                 struct.pack("=III", vu.SET_FEATURES, 1, 0), struct.pack("=III", vu.SET_MEM_TABLE, 1, 0)):
        with connection(stage) as fe:
            try:
                fe.send_raw(data + bytes(4096))
                fe.sock.shutdown(1)
                fe.closed_by_peer()
            except (vu.Refused, OSError):
                pass
        others_talk(stage, 3)
    with stage.dptap.expect_drops({}, PORTS):
        at_rest(stage)


def others_are_served(stage):
    """While somebody is in the way on vm0's socket, another guest can go, come back, and talk."""
    stage.bring("vm1")
    others_talk(stage, 5)


@three_guests.test
def a_front_end_that_stops_in_mid_message_holds_up_nobody_else(stage):
    """It says how long its message is, and then nothing; it does not go away either."""
    for data in (struct.pack("=III", vu.SET_FEATURES, 1, 8), struct.pack("=III", vu.SET_FEATURES, 1, 8) + bytes(3),
                 struct.pack("=II", vu.SET_FEATURES, 1)):
        with connection(stage) as fe:
            fe.send_raw(data)
            others_are_served(stage)
    at_rest(stage)


@three_guests.test
def a_front_end_that_reads_no_answers_holds_up_nobody_else(stage):
    with connection(stage) as fe:
        # until nothing fits into the socket's buffers any more, in either direction
        fe.sock.settimeout(2)
        try:
            for _ in range(2000):
                fe.send(vu.GET_FEATURES)
        except (TimeoutError, vu.Refused):
            pass
        others_are_served(stage)
    at_rest(stage)


@three_guests.test
def unknown_requests_are_refused_politely_when_an_answer_is_wanted(stage):
    for request in (23, 34, 50, 99):
        with connection(stage) as fe:
            fe.set_protocol_features(fe.get_protocol_features())
            try:
                check(fe.tell(request, bytes(8)) != 0, f"request {request} was acknowledged")
            except vu.Refused:
                pass
    at_rest(stage)


@three_guests.test
def random_messages_in_random_order_cost_the_connection_only(stage):
    noise = random.Random(3)
    for _ in range(25):
        with connection(stage) as fe, vu.GuestMemory(((0x100000, 1 << 20),)) as memory:
            fe.set_protocol_features(fe.get_protocol_features())
            try:
                for _ in range(noise.randrange(1, 30)):
                    request = noise.choice((*range(1, 6), *range(8, 19), 19, 20, 39, 40))
                    payload, fds = noise.choice((
                        (struct.pack("=II", noise.randrange(3), noise.choice((0, 1, 2, 256, 65536))), []),
                        (struct.pack("=Q", noise.choice((0, 1, 0x100, 0x101, noise.getrandbits(64)))), []),
                        (struct.pack("=Q", noise.randrange(2)), [memory.regions[0].fd]),
                        (struct.pack("=IIQQQQ", noise.randrange(2), noise.randrange(2),
                                     *(vu.UVA_OFFSET + 0x100000 + noise.randrange(1 << 21) for _ in range(4))), []),
                        memory.table(),
                        (noise.randbytes(noise.randrange(60)), [])))
                    fe.sock.settimeout(30)
                    fe.send(request, payload, fds, vu.VERSION | noise.choice((0, vu.NEED_REPLY)))
                fe.sock.shutdown(1)
                fe.closed_by_peer()
            except (vu.Refused, OSError):
                pass
    equal(stage.dptap.alive(), True, "dptap lives")
    hear_announcements(stage)
    at_rest(stage)


@three_guests.test
def descriptors_that_come_with_a_message_that_wants_none_are_closed(stage):
    """Or a front end could use up all that the process may open."""
    directory = f"/proc/{stage.dptap.process.pid}/fd"
    messages = ((vu.SET_VRING_NUM, struct.pack("=II", 5, 256)), (vu.SET_VRING_NUM, struct.pack("=II", 0, 3)),
                (vu.SET_VRING_ENABLE, struct.pack("=II", 9, 1)), (vu.SET_VRING_BASE, struct.pack("=II", 200, 1)),
                (vu.SET_FEATURES, struct.pack("=Q", 0)), (vu.SET_OWNER, b""), (vu.GET_QUEUE_NUM, b""),
                (vu.GET_VRING_BASE, struct.pack("=II", 7, 0)), (99, bytes(8)))
    with vu.GuestMemory(((0x100000, 4096),)) as memory:
        before = None
        for turn in range(20):
            with connection(stage) as fe:
                fe.set_protocol_features(fe.get_protocol_features())
                before = before or len(os.listdir(directory))
                request, payload = messages[turn % len(messages)]
                for _ in range(10):
                    try:
                        fe.send(request, payload, [memory.regions[0].fd] * 8, vu.VERSION | vu.NEED_REPLY)
                        fe.receive()
                    except vu.Refused:
                        break
            stage.dptap.wait_state("vm0", "LISTENING")
            check(len(os.listdir(directory)) < before + 20,
                  f"{len(os.listdir(directory)) - before} descriptors more after request {request} with eight of them")
    at_rest(stage)


@three_guests.test
def nine_memory_regions_are_refused_and_eight_are_not(stage):
    layout = [(0x10_0000 + (i << 24), 1 << 22) for i in range(9)]
    vm0 = stage.add("vm0", layout=layout).connect()
    vm0.new_rings()
    vm0.front_end.set_features(vm0.features)

    check(vm0.front_end.set_mem_table(vm0.memory) != 0, "nine regions were accepted")
    equal(vm0.front_end.set_mem_table(vm0.memory, vm0.memory.regions[:8]), 0, "verdict on eight regions")
    for ring in (TO_GUEST, FROM_GUEST):
        vm0.start_ring(ring)
        vm0.enable(ring)
    stage.dptap.wait_state("vm0", "RUNNING")
    vm0.keep_given()

    stage.cross("vm0", "vm1", 5)
    stage.cross("vm1", "vm0", 5)
    at_rest(stage)


@three_guests.test
def a_ring_beyond_the_queue_pair_is_refused(stage):
    for index in (2, 5, 255):
        vm0 = stage.bring("vm0")
        check(vm0.front_end.set_vring_num(index, 256) != 0, f"SET_VRING_NUM of ring {index} was accepted")
        check(vm0.front_end.set_vring_enable(index, 1) != 0, f"SET_VRING_ENABLE of ring {index} was accepted")
        stage.cross("vm0", "vm1", 5)
        stage.cross("vm1", "vm0", 5)
    for index in (256, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF):
        with connection(stage) as fe:
            fe.set_protocol_features(fe.get_protocol_features())
            try:
                check(fe.set_vring_num(index, 256) != 0, f"SET_VRING_NUM of ring {index} was accepted")
            except vu.Refused:
                pass
    at_rest(stage)


@three_guests.test
def an_impossible_ring_size_is_refused_and_a_good_one_still_welcome(stage):
    vm0 = stage.add("vm0").connect()
    for size in (0, 3, 100, 255, 65535, 65536, 0x80000000, 0xFFFFFFFF):
        check(vm0.front_end.set_vring_num(0, size) != 0, f"a ring of {size} entries was accepted")
    vm0.start()
    stage.dptap.wait_state("vm0", "RUNNING")
    vm0.keep_given()

    stage.cross("vm0", "vm1", 5)
    stage.cross("vm1", "vm0", 5)
    at_rest(stage)


@three_guests.test
def a_ring_outside_guest_memory_does_not_run(stage):
    for place in ("far away", "beginning on the last page", "misaligned"):
        vm0 = stage.add("vm0").connect()
        vm0.new_rings()
        queue, end = vm0.from_guest, vm0.memory.regions[0].end
        good = queue.desc
        bad = {"far away": good + (1 << 40), "beginning on the last page": end - 64, "misaligned": good + 8}
        queue.desc = bad[place]
        try:
            vm0.start(fresh=False)
            equal(stage.dptap.port("vm0")["from_guest_ring"], "stopped", f"a ring that is {place}")
        except vu.Refused:
            pass
        queue.desc = good
        others_talk(stage, 5)
    at_rest(stage)


# -- positions -------------------------------------------------------------------------------------------------


@three_guests.test
def a_stopped_ring_is_where_it_stopped(stage):
    vm0 = stage.bring("vm0")
    stage.cross("vm0", "vm1", 37)
    stage.cross("vm1", "vm0", 11)
    stage.dptap.settle()

    equal(vm0.stop(), [11, 37], "positions of the two rings")
    equal(stage.dptap.state("vm0"), "NEGOTIATING", "state")
    at_rest(stage)


@three_guests.test
def a_ring_that_goes_on_neither_loses_nor_repeats(stage):
    vm0 = stage.bring("vm0")
    for turn in range(20):
        stage.cross("vm0", "vm1", turn)
        stage.cross("vm1", "vm0", turn)
        stage.dptap.settle()
        waiting = [stage.frame_to("vm1", "vm0") for _ in range(3)]

        bases = vm0.stop()
        for one in waiting:
            vm0.post(one)
        vm0.publish()
        vm0.start(bases=bases, fresh=False)

        vm0.wait_sent()
        equal([g.frame for g in stage["vm1"].receive(3)], waiting, "what was said while the ring stood")
    at_rest(stage)


@three_guests.test
def a_driver_may_come_back_with_other_features_and_sizes(stage):
    vm0 = stage.bring("vm0")
    for features, size in ((FEATURES, 256), (vu.F_PROTOCOL_FEATURES, 64), (FEATURES | vu.F_EVENT_IDX, 1024),
                           (FEATURES & ~vu.F_MRG_RXBUF, 128), (FEATURES, 256)):
        vm0.stop()
        vm0.features, vm0.queue_size = features, size
        vm0.start()
        stage.dptap.wait_state("vm0", "RUNNING")
        vm0.keep_given()

        stage.cross("vm0", "vm1", 20)
        stage.cross("vm1", "vm0", 20)
        wait_until(lambda wanted=features: int(stage.dptap.port("vm0")["features"], 16) == wanted,
                   "the features in /dptap/port,vm0")
    at_rest(stage)


@three_guests.test
def a_reset_owner_stops_the_rings(stage):
    vm0 = stage.bring("vm0")
    vm0.front_end.reset_owner()
    stage.dptap.wait_state("vm0", "NEGOTIATING")

    with stage.dptap.expect_drops({("vm0", "to_guest", "guest_queue_stopped"): 3}, PORTS):
        stage["vm1"].send_many([stage.frame_to("vm0", "vm1") for _ in range(3)])
    at_rest(stage)


# -- under traffic ---------------------------------------------------------------------------------------------


class Talk:
    """Traffic both ways between two guests, kept going by calls; in the end every frame must have arrived."""

    def __init__(self, stage, left="vm1", right="vm2"):
        self.stage = stage
        self.ways = [{"from": a, "to": b, "sent": [], "got": []} for a, b in ((left, right), (right, left))]

    def go_on(self, n=32):
        """Both say n frames, if there is room, and hear what has come."""
        for way in self.ways:
            one = self.stage[way["from"]]
            one.reap_sent()
            room = min(n, len(one.from_guest.free))
            for _ in range(room):
                frame_ = self.stage.frame_to(way["to"], way["from"], 60 + len(way["sent"]) % 1000)
                way["sent"].append(frame_)
                one.post(frame_)
            one.publish()
            way["got"] += (g.frame for g in self.stage[way["to"]].poll())

    def end(self):
        """Everything said has been heard."""
        for way in self.ways:
            self.stage[way["from"]].wait_sent()
            wait_until(lambda way=way: way["got"].extend(g.frame for g in self.stage[way["to"]].poll())
                       or len(way["got"]) >= len(way["sent"]),
                       lambda way=way: f"{len(way['sent'])} frames from {way['from']}: {len(way['got'])} came")
            equal(way["got"] == way["sent"], True, f"frames from {way['from']} the same and in order")
        self.stage.dptap.settle()
        return sum(len(way["sent"]) for way in self.ways)


@three_guests.test
def fifty_reconnections_cost_the_neighbours_nothing(stage):
    talk = Talk(stage)
    with stage.dptap.expect_drops({}, PORTS):
        for turn in range(50):
            stage.drop("vm0")
            talk.go_on()
            one = stage.add("vm0").connect()
            talk.go_on()
            one.start()
            talk.go_on()
            one.keep_given()
            if turn % 2:
                one.stop()
            talk.go_on()
        check(talk.end() > 5000, "too little traffic to tell anything")
    at_rest(stage)


@three_guests.test
def two_hundred_changes_of_memory_lose_no_packet(stage):
    """vm0's table changes amid its own traffic: the queue pauses and goes on, all arrives."""
    layout = [(0x10_0000, 8 << 20), (0x1000_0000, 1 << 20), (0x2000_0000, 1 << 20)]
    vm0 = stage.bring("vm0", layout=layout)
    regions = vm0.memory.regions
    own, foreign = Talk(stage, "vm0", "vm1"), Talk(stage, "vm1", "vm2")
    with stage.dptap.expect_drops({}, PORTS):
        for turn in range(200):
            own.go_on(16)
            equal(vm0.front_end.set_mem_table(vm0.memory, regions[: 2 + turn % 2]), 0, "verdict on a memory table")
        own.end()
        for turn in range(20):
            foreign.go_on()
            equal(vm0.front_end.set_mem_table(vm0.memory, regions[: 2 + turn % 2]), 0, "verdict on a memory table")
        foreign.end()
    at_rest(stage)


@three_guests.test
def new_interrupt_and_kick_descriptors_amid_traffic_lose_no_packet(stage):
    vm0 = stage.bring("vm0")
    talk = Talk(stage, "vm0", "vm1")
    with stage.dptap.expect_drops({}, PORTS):
        for turn in range(60):
            talk.go_on(16)
            for queue, ring in ((vm0.to_guest, TO_GUEST), (vm0.from_guest, FROM_GUEST)):
                vm0.front_end.set_vring_call(ring, queue.call_fd if turn % 3 else None)
                if turn % 2:
                    vm0.front_end.set_vring_kick(ring, queue.kick_fd)
        talk.end()
    at_rest(stage)


# -- two at one socket -----------------------------------------------------------------------------------------


@three_guests.test
def a_second_front_end_is_refused_while_the_first_is_there(stage):
    vm0 = stage.bring("vm0")
    for _ in range(3):
        with vu.FrontEnd.connect(stage.dptap.socket("vm0")) as second:
            try:
                second.get_features()
            except vu.Refused:
                continue
            check(False, "a second front end was served")
    stage.cross("vm0", "vm1", 20)
    stage.cross("vm1", "vm0", 20)
    equal(vm0.front_end.get_status() & 0xF, 0xF, "status of the first")
    at_rest(stage)


# -- dptap itself goes -----------------------------------------------------------------------------------------


def two_guests(mode, keep):
    """dptap with two guests in a directory that outlives it."""
    both = [guest(name, mac=text(mac_of(name)), socket_mode=mode) for name in ("vm0", "vm1")]
    return Dptap(uplink("net_null0"), *both, vdevs=[null()], keep=keep)


def goes_on(stage, dptap):
    """Both guests find the new dptap and take their rings up at used->idx, as a front end does that was left alone."""
    for name in ("vm0", "vm1"):
        one = stage[name]
        one.hang_up()
        one.connect()
        one.start(bases=(one.to_guest.used_idx, one.from_guest.used_idx), fresh=False)
        dptap.wait_state(name, "RUNNING")


def killed_and_restarted(mode):
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as keep:
        with two_guests(mode, keep) as dptap:
            stage = Stage(dptap)
            try:
                for name in ("vm0", "vm1"):
                    stage.guests[name] = Guest(dptap.socket(name), listen=mode == "client")
                    stage[name].up()
                    stage[name].keep_given()
                for turn in range(3):
                    stage.cross("vm0", "vm1", 300 + turn)
                    stage.cross("vm1", "vm0", 20)

                    dptap.kill()
                    waiting = [stage.frame_to("vm1", "vm0") for _ in range(9)]
                    for one in waiting:
                        stage["vm0"].post(one)
                    stage["vm0"].publish()
                    dptap.start()
                    goes_on(stage, dptap)

                    stage["vm0"].wait_sent()
                    wait_until(lambda: dptap.balance()["received"] == 9, "nine frames")
                    balance = dptap.settle()
                    arrived = [g.frame for g in stage["vm1"].poll()]
                    lost = balance["dropped"]
                    # those that came before vm1 was back are in the books; the others arrived, in order
                    equal(arrived, waiting[lost:], "what was said while dptap was dead")
                    stage.cross("vm0", "vm1", 300)
                    stage.cross("vm1", "vm0", 300)
                dptap.stop()
                equal([n for n in os.listdir(keep) if n.endswith(".sock")],
                      ["vm0.sock", "vm1.sock"] if mode == "client" else [], "sockets that are left")
            finally:
                stage.close()


@scenario
def dptap_that_dies():
    yield None


@dptap_that_dies.test
def a_guest_survives_kill_9_of_a_listening_dptap(_):
    killed_and_restarted("server")


@dptap_that_dies.test
def a_guest_survives_kill_9_of_a_connecting_dptap(_):
    killed_and_restarted("client")


@dptap_that_dies.test
def a_front_end_in_mid_message_does_not_keep_dptap_from_stopping(_):
    with bridge("vm0", "vm1") as stage:
        stage.bring("vm1")
        with vu.FrontEnd.connect(stage.dptap.socket("vm0")) as fe:
            fe.get_features()
            fe.send_raw(struct.pack("=III", vu.SET_FEATURES, 1, 8))
            stage.dptap.stop()


@scenario
def dptap_as_client():
    with tempfile.TemporaryDirectory(prefix="dptap-test-") as keep:
        with two_guests("client", keep) as dptap:
            stage = Stage(dptap)
            try:
                yield stage
                dptap.stop(signal.SIGINT)
            finally:
                stage.close()


@dptap_as_client.test
def a_front_end_that_comes_late_is_found(stage):
    equal([stage.dptap.state(name) for name in ("vm0", "vm1")], ["CONNECTING"] * 2, "states before")

    for name in ("vm0", "vm1"):
        stage.bring(name, listen=True)

    stage.cross("vm0", "vm1", 20)
    stage.cross("vm1", "vm0", 20)
    stage.dptap.settle()


@dptap_as_client.test
def a_front_end_that_dies_and_listens_again_is_found_again(stage):
    for _ in range(2):
        stage["vm0"].disconnect()
        stage.dptap.wait_state("vm0", "CONNECTING")
        with stage.dptap.expect_drops({("vm0", "to_guest", "guest_not_connected"): 1}, ("vm0", "vm1")):
            stage["vm1"].send(stage.frame_to("vm0", "vm1"))

        stage["vm0"].up()
        stage.dptap.wait_state("vm0", "RUNNING")
        stage["vm0"].keep_given()
        stage.cross("vm0", "vm1", 20)
        stage.cross("vm1", "vm0", 20)
    stage.dptap.settle()


@dptap_as_client.test
def a_front_end_whose_socket_went_away_is_looked_for_in_vain_and_at_no_cost(stage):
    stage.drop("vm0")
    sent = frame(mac_of("vm0"), mac_of("vm1"), 60, 1)
    with stage.dptap.expect_drops({("vm0", "to_guest", "guest_not_connected"): 10}, ("vm0", "vm1")):
        stage["vm1"].send_many([sent] * 10)
    equal(stage.dptap.state("vm0"), "CONNECTING", "state")


if __name__ == "__main__":
    main()
