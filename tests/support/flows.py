# SPDX-License-Identifier: BSD-3-Clause
"""Numbered frames of many flows at once, each of which has to arrive whole and in order.

    Flows    frames from one guest (or NIC) to another, kept going by calls
    Ear      what a receiver hears from several of them
    Mover    a thread that moves queue pairs from worker to worker meanwhile
"""

import collections
import random
import struct
import threading

from testing import Failure, check, equal, wait_until

FLOWS = 64
IPV4, UDP = 0x0800, 17


def flow_frame(dst, src, flow, number, size=80):
    """A UDP datagram of a flow, whose payload begins with the flow's number and its own."""
    payload = struct.pack("!II", flow, number).ljust(size - 42, b"\x5a")
    udp = struct.pack("!HHHH", 1024 + flow, 4789, 8 + len(payload), 0) + payload
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), number & 0xFFFF, 0, 64, UDP, 0,
                     bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2)))
    return dst + src + struct.pack("!H", IPV4) + ip + udp


def read_flow(frame):
    """(flow, number) of such a frame."""
    return struct.unpack_from("!II", frame, 42)


class Ear:
    """Takes what arrives at a receiver, and gives it to the flows of the address that it came from."""

    def __init__(self, receiver):
        self.receiver = receiver
        self.flows_of = {}

    def look(self):
        """Take what has arrived, at one pair after the other."""
        for pair in self.receiver.pairs:
            for got in pair.poll():
                self.flows_of[got.frame[6:12]].note(pair.number, got.frame)


class Flows:
    """Traffic of many flows from one to another, kept going by calls; the receiver's pairs are told apart.

    `ear`   the receiver's, if it hears others, too
    """

    def __init__(self, sender, receiver, src, dst, ear=None):
        self.sender = sender
        self.ear = ear or Ear(receiver)
        self.ear.flows_of[src] = self
        self.addresses = (dst, src)
        self.sent = collections.Counter()
        self.next = collections.Counter()
        self.last = {}
        self.early = set()
        self.pairs_of = collections.defaultdict(set)
        self.n_sent = self.n_got = 0

    def note(self, pair, frame):
        """A frame has arrived at a pair."""
        flow, number = read_flow(frame)
        equal(frame, flow_frame(*self.addresses, flow, number, len(frame)), f"frame {number} of flow {flow}")
        check(number > self.last.get((pair, flow), -1), f"frame {number} of flow {flow} was overtaken "
              f"at pair {pair} by frame {self.last.get((pair, flow))}")
        self.last[pair, flow] = number
        self.early.add((flow, number))
        self.pairs_of[flow].add(pair)
        self.n_got += 1

    def _look(self):
        self.ear.look()
        for flow in {flow for flow, _ in self.early}:
            while (flow, self.next[flow]) in self.early:
                self.early.remove((flow, self.next[flow]))
                self.next[flow] += 1

    def hear(self):
        """Take what has arrived: each flow's frames come whole and in order.

        A flow that has moved may be seen at its new pair first, since that is looked at earlier; what it left at the
        old one has arrived before and is found at the next look.
        """
        self._look()
        early = set(self.early)
        self._look()
        early &= self.early
        check(not early, f"frames (flow, number) that have overtaken others: {sorted(early)[:5]}, "
              f"next of these flows: {[self.next[flow] for flow, _ in sorted(early)[:5]]}")

    def say(self, n=FLOWS, pair=0, window=512, flows=range(FLOWS)):
        """Send n frames, of these flows in turn, by one pair of the sender; no more than `window` are under way."""
        way = self.sender.pairs[pair]

        def there_is_room():
            way.reap_sent()
            self.hear()
            return self.n_sent - self.n_got <= window and len(way.from_guest.free) >= n

        wait_until(there_is_room, lambda: f"{self.n_sent} frames: {self.n_got} came", pause=0.0002)
        for i in range(n):
            flow = flows[i % len(flows)]
            way.post(flow_frame(*self.addresses, flow, self.sent[flow], 80 + flow))
            self.sent[flow] += 1
        self.n_sent += n
        way.publish()

    def say_by_all(self, n=FLOWS, window=512):
        """Send n frames by all pairs of the sender together, each flow by a pair of its own."""
        n_pairs = len(self.sender.pairs)
        for pair in range(n_pairs):
            self.say(n // n_pairs, pair, window, range(pair, FLOWS, n_pairs))

    def end(self):
        """All that was said has been heard; how many frames."""
        for pair in self.sender.pairs:
            pair.wait_sent(self.hear)
        wait_until(lambda: self.hear() or self.n_got >= self.n_sent,
                   lambda: f"{self.n_sent} frames: {self.n_got} came")
        equal(self.next, self.sent, "frames of each flow")
        return self.n_sent

    def pairs(self):
        """The pairs that any flow was seen at."""
        return set().union(*self.pairs_of.values())


class Mover:
    """Moves queue pairs from worker to worker, as fast as they go and at random, beside what the `with` block does.

    `pairs`   those to be moved, (name, number) each
    `lcores`  of the workers
    """

    def __init__(self, dptap, pairs, lcores, seed=1):
        self.dptap, self.pairs, self.lcores = dptap, pairs, lcores
        self.noise = random.Random(seed)
        self.n_moved = 0
        self._fault = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._ends.set()
        self._thread.join()
        if kind is None:
            self.check()

    def check(self):
        """Fail if a move has."""
        if self._fault:
            raise Failure(self._fault)

    def _run(self):
        while not self._ends.is_set() and not self._fault:
            name, pair = self.noise.choice(self.pairs)
            lcore = self.noise.choice(self.lcores)
            try:
                answer = self.dptap.tele(f"/dptap/move,{name},{pair},{lcore}")
            except (OSError, ValueError, Failure) as fault:
                self._fault = f"{name}'s pair {pair} to lcore {lcore}: {fault!r}"
                return
            if answer.get("lcore") != lcore:
                self._fault = f"{name}'s pair {pair} to lcore {lcore} was answered with {answer}"
            self.n_moved += answer.get("moved") == "yes"
