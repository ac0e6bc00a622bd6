# SPDX-License-Identifier: BSD-3-Clause
"""dptap, asked: a guest of ours sends each case to a guest with all offloads, to one with none, and to an uplink.

Behind each case goes a frame to each destination that says "that was all": frames keep their order, so what arrives
ahead of it belongs to the case, however long it takes.
"""

import contextlib
import struct
import tempfile

from frames import BROADCAST, ETHERTYPE, mac
from guest import FEATURES, GSO_NONE, GSO_UDP, GSO_UDP_L4, read_header
from stage import bridge, mac_of
from testing import Failure, equal, wait_until
from uplink import Capture
from verdict import NO_HEADER, Verdict, runs_of
import vhost_user as vu

SENDER = "vm0"
ALL, NONE, UPLINK = DESTINATIONS = ("vm1", "vm2", "net_pcap0")
"""A guest that takes everything undone, one that takes nothing, and a NIC without offloads."""

ADDRESS = {ALL: mac_of(ALL), NONE: mac_of(NONE), UPLINK: mac(0x999)}
DIRECTION = {ALL: "to_guest", NONE: "to_guest", UPLINK: "port_tx"}

CUTS = ((), (12,), (12, 14), (5, 7, 2, 33), (11, 0, 1, 20))
"""How the sender lays header and frame out over descriptors, in turn."""

QUEUE_LEN = 16384
"""Lanes hold the segments of any one case, 65535 bytes cut very small excepted."""

_END = mac(0xE0D)
"""Source address of the frames that say "that was all"; no case has it."""


class _Stream:
    """What arrives at one destination, case by case."""

    def __init__(self, poll):
        self._poll = poll
        self._frames = []
        self.closed = {}

    def read(self):
        """Sort what has arrived: closed[number] are the frames of a case of which all has come."""
        for data, hdr in self._poll():
            if data[6:12] == _END:
                self.closed[struct.unpack_from("!I", data, 14)[0]] = self._frames
                self._frames = []
            else:
                self._frames.append((data, hdr))
        return self.closed


class _File:
    """New frames of a growing capture file."""

    def __init__(self, path):
        self._path = path
        self._at = 24
        self._rest = b""

    def __call__(self):
        with open(self._path, "rb") as file:
            file.seek(self._at)
            more = file.read()
        self._at += len(more)
        data, at, frames = self._rest + more, 0, []
        while at + 16 <= len(data):
            stored = struct.unpack_from("=IIII", data, at)[2]
            if at + 16 + stored > len(data):
                break
            frames.append((data[at + 16 : at + 16 + stored], NO_HEADER))
            at += 16 + stored
        self._rest = data[at:]
        return frames


def _without_hint(frame, hdr):
    """A header without its hdr_len, if that is what it should be: zero, or of a packet to cut all its headers."""
    length = 0
    if hdr.gso_type in (GSO_UDP, GSO_UDP_L4):
        length = hdr.csum_start + 8
    elif hdr.gso_type != GSO_NONE:
        length = hdr.csum_start + 4 * (frame[hdr.csum_start + 12] >> 4)
    return hdr._replace(hdr_len=0) if hdr.hdr_len == length else hdr


class BackEnd:
    """ask() it. `stage` has the guests."""

    def __init__(self, stage, capture):
        self.stage = stage
        self.dptap = stage.dptap
        self.sender = stage[SENDER]
        self.streams = {ALL: _Stream(lambda: self._received(ALL)), NONE: _Stream(lambda: self._received(NONE)),
                        UPLINK: _Stream(_File(capture.into[0]))}
        self._addresses = []
        self._number = 0

    def _received(self, name):
        return [(came.frame, _without_hint(came.frame, read_header(came.header))) for came in self.stage[name].poll()]

    def ask(self, cases, flood=False, together=16):
        """What becomes of each case: [{destination: Verdict}, ...].

        Each is sent to every destination by itself; or, as a `flood`, once to all of them, who then share its data.
        """
        self._addresses = [BROADCAST] if flood else list(ADDRESS.values())
        answers = []
        for at in range(0, len(cases), together):
            some = cases[at : at + together]
            for case, frames in zip(some, self._send(some)):
                answers.append(self._verdicts(case, frames))
        return answers

    def _send(self, cases):
        """Send cases to every destination: [{destination: frames}, ...]."""
        first, end = self._number, self._number + len(cases)
        for case in cases:
            for address in self._addresses:
                data = (address + case.frame[6:])[: len(case.frame)]
                self.sender.post(data, case.header, CUTS[self._number % len(CUTS)])
            for name in DESTINATIONS:
                self.sender.post(ADDRESS[name] + _END + struct.pack("!HI", ETHERTYPE, self._number) + bytes(42))
            self._number += 1
        self.sender.publish()

        def all_came():
            self.sender.reap_sent()
            come = all(end - 1 in stream.read() for stream in self.streams.values())
            return come and not self.sender.from_guest.chains

        wait_until(all_came, lambda: f"the end of {cases[0]} and {len(cases) - 1} more", pause=0.0002)
        return [{name: self.streams[name].closed.pop(number) for name in DESTINATIONS} for number in range(first, end)]

    def _verdicts(self, case, frames):
        """The frames that came, and the reason of what did not: asked once more, alone, if something may be missing."""
        whole = all(len(frames[name]) >= 1 for name in DESTINATIONS)
        reasons = {} if whole and not self._is_cut(case) else self._reasons(case, frames)
        return {name: Verdict(reasons.get(name), runs_of(frames[name])) for name in DESTINATIONS}

    @staticmethod
    def _is_cut(case):
        return case.fields.gso_type != 0

    def _reasons(self, case, frames):
        """Send a case alone: {destination: reason of its drops}."""
        before = self._drops()
        again = self._send([case])[0]
        for name in DESTINATIONS:
            equal(runs_of(again[name]), runs_of(frames[name]), f"{case} at {name}, asked again")
        reasons, ours = {}, {}

        def told():
            now = self._drops()
            ours.clear()
            ours.update({key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key, 0)})
            missing = [name for name in DESTINATIONS if not frames[name]]
            refused = sum(n for (port, _, _), n in ours.items() if port == SENDER)
            return refused == len(self._addresses) or sum(ours.values()) >= len(missing)

        wait_until(told, lambda: f"the drops of {case}: {ours}")
        for (port, reason, cause), n in ours.items():
            if port == SENDER:
                equal(n, len(self._addresses), f"drops of {case} as {cause} where it was sent")
                reasons = {name: reason for name in DESTINATIONS}
            else:
                reasons[port] = reason
        return reasons

    def _drops(self):
        """{(port, reason, cause): packets} where a case may end."""
        found = {}
        for port, direction in {SENDER: "from_guest", **DIRECTION}.items():
            for (where, reason, cause), n in self.dptap.drops(port).items():
                if where == direction:
                    found[(port, reason, cause)] = n
        return found


@contextlib.contextmanager
def back_end(rings=FEATURES):
    """A dptap with a sender and the three destinations, all of them up; `rings`: the features of all three guests."""
    with tempfile.TemporaryDirectory(prefix="dptap-oracle-") as directory:
        capture = Capture(directory, [[]])
        lanes = {name: {"queue_len": QUEUE_LEN} for name in DESTINATIONS}
        with bridge(SENDER, ALL, NONE, nic=capture, settings=lanes, memory=1024) as stage:
            for name, extra in ((SENDER, vu.HOST_OFFLOADS), (ALL, vu.GUEST_OFFLOADS), (NONE, 0)):
                stage.bring(name, None if name == SENDER else (2048,), features=rings | extra, queue_size=1024)
                missing = (rings | extra) & ~stage[name].features
                if missing:
                    raise Failure(f"{name} was not offered features {missing:#x}")
            yield BackEnd(stage, capture)
            stage.dptap.settle()
            stage.dptap.stop()
