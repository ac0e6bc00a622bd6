# SPDX-License-Identifier: BSD-3-Clause
"""A dptap with some guests around it, as most tests want it."""

import contextlib
import itertools

import dptap as program
from frames import frame, mac, text
from guest import Guest
from testing import equal, wait_until
import uplink as uplinks


def mac_of(name):
    """The MAC address of a guest named vm0, vm1, ..."""
    return mac(0x100 + int(name.removeprefix("vm")))


class Stage:
    """`dptap`, and the guests by name; guests[name] is connected and running after bring(name)."""

    def __init__(self, dptap):
        self.dptap = dptap
        self.guests = {}
        self._numbers = itertools.count(1)

    def __getitem__(self, name):
        return self.guests[name]

    def add(self, name, **settings):
        """A new guest object for that name (an older one is cut off), not connected yet."""
        self.drop(name)
        self.guests[name] = Guest(self.dptap.socket(name), **settings)
        return self.guests[name]

    def bring(self, name, buffers=(2048,), **settings):
        """The same, connected and running, with its receive ring full of buffers of that shape (None: empty)."""
        one = self.add(name, **settings)
        one.up()
        self.dptap.wait_state(name, "RUNNING")
        if buffers:
            one.keep_given(buffers)
        return one

    def drop(self, name):
        """Cut a guest off and wait until dptap knows."""
        one = self.guests.pop(name, None)
        if one:
            connected = one.front_end is not None
            one.close()
            if connected:
                self.dptap.wait_state(name, "LISTENING", "CONNECTING")

    def close(self):
        for one in self.guests.values():
            one.close()
        self.guests = {}

    def frame_to(self, receiver, sender, size=60):
        """A frame from one guest to another, unlike any before."""
        return frame(mac_of(receiver), mac_of(sender), size, next(self._numbers))

    def number(self):
        return next(self._numbers)

    def carry(self, sender, receiver, frames, burst=64, window=256):
        """Send frames from one guest to another, never more than `window` under way: what arrived, in order.

        Without the window a receiver that waits for its CPU, or its worker, would fill its lane and lose packets
        rightly.
        """
        one, other, got = self[sender], self[receiver], []

        def heard():
            one.reap_sent()
            got.extend(other.poll())
            return len(got)

        for at in range(0, len(frames), burst):
            some = frames[at : at + burst]
            wait_until(lambda end=at + len(some): end - heard() <= window and len(one.from_guest.free) >= burst,
                       lambda end=at: f"frames from {sender} to {receiver}: {len(got)} of {end} came",
                       one.deadline, 0.0002)
            for frame_ in some:
                one.post(frame_)
            one.publish()
        wait_until(lambda: heard() >= len(frames) and not one.from_guest.chains,
                   lambda: f"{len(frames)} frames from {sender} to {receiver}: {len(got)} came", one.deadline, 0.0005)
        return [g.frame for g in got]

    def cross(self, sender, receiver, n=1, size=60):
        """n good frames from one guest to another: they arrive, whole and in order, and nothing else does."""
        sent = [self.frame_to(receiver, sender, size) for _ in range(n)]
        burst = min(64, self[sender].from_guest.size)
        equal(self.carry(sender, receiver, sent, burst), sent, f"frames from {sender} to {receiver}")

    def all_cross(self):
        """Every guest that has receive buffers hears from every other one."""
        for sender in self.guests:
            for receiver in self.guests:
                if sender != receiver and self[receiver].to_guest.chains:
                    self.cross(sender, receiver)


@contextlib.contextmanager
def bridge(*names, nic=None, alone=False, learn=(), settings=None, own=(), **more):
    """dptap with guests of these names on one bridge, none of them connected.

    `nic`       an uplink stand-in with a vdev and a device; without one there is a net_null that only swallows
    `alone`     no uplink at all
    `learn`     names whose MAC address is not configured
    `settings`  name: further settings of that guest or, under the device's name, of the uplink
    `own`       further arguments
    """
    settings = settings or {}
    device = nic.device if nic else "net_null0"
    args = [] if alone else [program.uplink(device, **settings.get(device, {}))]
    for name in names:
        address = {} if name in learn else {"mac": text(mac_of(name))}
        args.append(program.guest(name, **address, **settings.get(name, {})))
    vdevs = [] if alone else [nic.vdev if nic else uplinks.null()]
    with program.Dptap(*args, *own, vdevs=vdevs, **more) as running:
        stage = Stage(running)
        try:
            yield stage
        finally:
            stage.close()
