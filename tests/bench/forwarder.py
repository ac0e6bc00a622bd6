# SPDX-License-Identifier: BSD-3-Clause
"""The programs that are compared: each stands between a NIC and a guest's socket, and can say what it did."""

import dataclasses
import time

from process import BenchError, Process, wait_until
from telemetry import Telemetry
from testpmd import Console

TESTPMD = "testpmd"  # the name of that forwarder


@dataclasses.dataclass
class Counted:
    """What a forwarder did during a window, by its own books."""

    busy_cycles: int  # of rounds that moved packets
    to_guest: int     # packets that guests got
    to_nic: int       # packets that the NIC took
    seconds: float    # between the two looks into the books


@dataclasses.dataclass(frozen=True)
class Wiring:
    """What a forwarder stands between: a guest and a NIC, or two guests."""

    sockets: list  # where each guest connects
    macs: tuple    # of the guests
    queues: int    # queue pairs of each guest
    gso: bool      # guests leave segmentation and checksums to each other
    mode: str      # of dptap's uplink
    nic: str       # --vdev, "": there is none


class Forwarder:
    """What all of them have in common: processes that are awake only while they are measured."""

    LISTENS = True  # for guests, who connect; else guests listen

    def processes(self):
        """Those that were started, the one that forwards first."""
        raise NotImplementedError

    def freeze(self):
        """Off the CPU."""
        for process in self.processes():
            process.freeze()

    def thaw(self):
        """Back."""
        for process in self.processes():
            process.thaw()

    def schedules(self):
        """Those of the process that forwards; see Process."""
        return self.processes()[0].schedules()

    def dropped(self):
        """Packets that it says it dropped, since its start; 0 if it does not say."""
        return 0


class Testpmd(Forwarder):
    """dpdk-testpmd: net_vhost to the guests, io forwarding, which looks at no packet."""

    def __init__(self, name, place, wiring):
        # what it receives as a segmentation request it sends as one only with the flags of older releases
        more = ",tso=1,legacy-ol-flags=1" if wiring.gso else ""
        vdevs = [f"net_vhost{i},iface={path},queues={wiring.queues}{more}" for i, path in enumerate(wiring.sockets)]
        self._nic_cuts = wiring.gso and bool(wiring.nic)
        eal = [word for vdev in vdevs + [wiring.nic] if vdev for word in ("--vdev", vdev)]
        options = ["--forward-mode=io", f"--rxq={wiring.queues}", f"--txq={wiring.queues}"]
        if wiring.gso:
            options += ["--total-num-mbufs=32768"]
        if self._nic_cuts:
            options += ["--disable-device-start"]
        self._arguments = (name, eal, options, place)
        self._nic_port = len(wiring.sockets)  # ports are numbered in the order of the command line
        self._console = None
        self._began = 0.0

    def processes(self):
        """It is one."""
        return [self._console.process] if self._console else []

    def start(self):
        """Start it; the socket listens when this returns."""
        self._console = Console(*self._arguments)
        self._console.wait_ready()
        if not self._nic_cuts:
            return
        for offload in ("multi_segs", "tcp_cksum", "tcp_tso"):
            self._console.command(f"port config {self._nic_port} tx_offload {offload} on")
        self._console.command("port start all")

    def wait_guests(self):
        """Begin to forward; testpmd does not tell when a guest is ready, and does not mind."""
        self._console.command("start")

    def begin(self):
        """Start counting."""
        self._began = self._console.clear_stats()

    def end(self):
        """What was counted since begin()."""
        stats, now = self._console.stats()
        to_nic = stats.sent_by.get(self._nic_port, 0)
        return Counted(stats.busy_cycles, stats.sent - to_nic, to_nic, now - self._began)

    def stop(self):
        """End it."""
        if self._console:
            self._console.stop()
        return ""


class Dptap(Forwarder):
    """dptap with its guests, and an uplink where there is a NIC, read through its telemetry."""

    def __init__(self, name, program, place, wiring):
        self._name = name
        self._file_prefix = place.file_prefix(name)
        self._place = place
        self._guests = [f"vm{i}" for i in range(len(wiring.sockets))]
        self._uplink = wiring.nic.split(",", maxsplit=1)[0]
        self._argv = [program] + place.eal(name)
        if self._uplink:
            self._argv += ["--vdev", wiring.nic, "--", "--uplink", f"{self._uplink},mode={wiring.mode}"]
        else:
            self._argv += ["--"]
        for guest, path, mac in zip(self._guests, wiring.sockets, wiring.macs):
            more = f",queues={wiring.queues}" if wiring.queues > 1 else ""
            self._argv += ["--guest", f"{guest},socket={path},mac={mac}{more}"]
        self._telemetry = None
        self._before = None
        self._process = None

    def processes(self):
        """It is one."""
        return [self._process] if self._process else []

    def start(self):
        """Start it; its sockets listen when this returns."""
        self._process = Process(self._name, self._argv, self._place.cpu, self._place.log(self._name), self._place.nice)
        self._process.expect(r"dptap: ready:", 30)
        self._telemetry = Telemetry(self._file_prefix)

    def wait_guests(self):
        """Wait until it serves the guests' queues."""
        for guest in self._guests:
            wait_until(lambda guest=guest: self._telemetry.ask(f"/dptap/port,{guest}")["state"] == "RUNNING", 20,
                       f"{self._name}: {guest} is RUNNING")

    def begin(self):
        """Start counting."""
        self._before = self._read()

    def end(self):
        """What was counted since begin()."""
        return Counted(*(after - before for before, after in zip(self._before, self._read())))

    def _read(self):
        """Counted's fields, each since some time in the past."""
        to_guest = sum(self._telemetry.ask(f"/dptap/port,{guest}")["to_guest"]["delivered"] for guest in self._guests)
        lcores = self._telemetry.ask("/dptap/lcores").values()
        to_nic = self._telemetry.ask(f"/dptap/port,{self._uplink}")["port_tx"]["delivered"] if self._uplink else 0
        return sum(lcore["busy_cycles"] for lcore in lcores), to_guest, to_nic, time.monotonic()

    def read_rounds(self):
        """(cycles, rounds) of its workers since their start."""
        lcores = self._telemetry.ask("/dptap/lcores").values()
        return (sum(lcore["busy_cycles"] + lcore["idle_cycles"] for lcore in lcores),
                sum(lcore["rounds"] for lcore in lcores))

    def read_stages(self, stages):
        """({stage: cycles}, readings of the clock, packets delivered) since its start."""
        lcores = self._telemetry.ask("/dptap/lcores").values()
        return ({stage: sum(lcore[f"stage_{stage}"] for lcore in lcores) for stage in stages},
                sum(lcore[f"clock_{stage}"] for lcore in lcores for stage in stages),
                sum(lcore["delivered"] for lcore in lcores))

    def dropped(self):
        """By its books."""
        return self._telemetry.ask("/dptap/balance")["dropped"]

    def stop(self):
        """End it; BenchError if it says that its books are wrong."""
        if self._telemetry:
            self._telemetry.close()
        if not self._process:
            return ""
        was_alive = self._process.alive()
        status, text = self._process.stop()
        last_line = (text.strip().splitlines() or ["(it printed nothing)"])[-1]
        if was_alive and status != 0:
            raise BenchError(f"{self._name} ended with status {status}: {last_line}")
        return last_line
