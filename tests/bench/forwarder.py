# SPDX-License-Identifier: BSD-3-Clause
"""The programs that are compared: each stands between a NIC and a guest's socket, and can say what it did."""

import dataclasses

from process import BenchError, Process, wait_until
from telemetry import Telemetry
from testpmd import Console

TESTPMD = "testpmd"  # the name of a forwarder that is not the path of a dptap


@dataclasses.dataclass
class Counted:
    """What a forwarder did during a window, by its own books."""

    busy_cycles: int  # of rounds that moved packets
    delivered: int    # packets that reached the other side


def make_forwarder(name, program, place, socket, mode, guest_mac, nic):
    """The forwarder that `program` names: "testpmd", or the path of a dptap."""
    if program == TESTPMD:
        return Testpmd(name, place, socket, nic)
    return Dptap(name, program, place, socket, mode, guest_mac, nic)


class Testpmd:
    """dpdk-testpmd: net_vhost to the guest, io forwarding, which looks at no packet."""

    def __init__(self, name, place, socket, nic):
        self._arguments = (name, ["--vdev", f"net_vhost0,iface={socket}", "--vdev", nic], ["--forward-mode=io"], place)
        self._console = None

    @property
    def process(self):
        """For freezing, and for its run-queue wait."""
        return self._console.process

    def start(self):
        """Start it; the socket listens when this returns."""
        self._console = Console(*self._arguments)
        self._console.wait_ready()

    def wait_guest(self):
        """Begin to forward; testpmd does not tell when a guest is ready, and does not mind."""
        self._console.command("start")

    def begin(self):
        """Start counting."""
        self._console.clear_stats()

    def end(self):
        """What was counted since begin()."""
        stats, _ = self._console.stats()
        return Counted(stats.busy_cycles, stats.sent)

    def stop(self):
        """End it."""
        if self._console:
            self._console.stop()
        return ""


class Dptap:
    """dptap with one uplink and one guest, read through its telemetry."""

    GUEST = "vm0"

    def __init__(self, name, program, place, socket, mode, guest_mac, nic):
        self._name = name
        self._file_prefix = place.file_prefix(name)
        self._place = place
        self._uplink = nic.split(",", maxsplit=1)[0]
        self._argv = ([program] + place.eal(name) + ["--vdev", nic, "--", "--uplink", f"{self._uplink},mode={mode}",
                                                     "--guest", f"{self.GUEST},socket={socket},mac={guest_mac}"])
        self._telemetry = None
        self._before = None
        self.process = None

    def start(self):
        """Start it; its sockets listen when this returns."""
        self.process = Process(self._name, self._argv, self._place.cpu, self._place.log(self._name), self._place.nice)
        self.process.expect(r"dptap: ready:", 30)
        self._telemetry = Telemetry(self._file_prefix)

    def wait_guest(self):
        """Wait until it serves the guest's queues."""
        wait_until(lambda: self._telemetry.ask(f"/dptap/port,{self.GUEST}")["state"] == "RUNNING", 20,
                   f"{self._name}: {self.GUEST} is RUNNING")

    def begin(self):
        """Start counting."""
        self._before = self._read()

    def end(self):
        """What was counted since begin()."""
        now = self._read()
        return Counted(now.busy_cycles - self._before.busy_cycles, now.delivered - self._before.delivered)

    def _read(self):
        """Only one direction carries packets, so both ways out can be added up."""
        uplink = self._telemetry.ask(f"/dptap/port,{self._uplink}")
        guest = self._telemetry.ask(f"/dptap/port,{self.GUEST}")
        lcores = self._telemetry.ask("/dptap/lcores").values()
        return Counted(busy_cycles=sum(lcore["busy_cycles"] for lcore in lcores),
                       delivered=uplink["port_tx"]["delivered"] + guest["to_guest"]["delivered"])

    def stop(self):
        """End it; BenchError if it says that its books are wrong."""
        if self._telemetry:
            self._telemetry.close()
        if not self.process:
            return ""
        was_alive = self.process.alive()
        status, text = self.process.stop()
        last_line = (text.strip().splitlines() or ["(it printed nothing)"])[-1]
        if was_alive and status != 0:
            raise BenchError(f"{self._name} ended with status {status}: {last_line}")
        return last_line
