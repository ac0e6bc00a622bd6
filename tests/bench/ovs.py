# SPDX-License-Identifier: BSD-3-Clause
"""OVS-DPDK as Debian packages it: a switch and a database of our own, in directories of the benchmark's."""

import contextlib
import json
import os
import re
import shutil
import socket
import tempfile
import time

from forwarder import Counted, Forwarder
from machine import run
from process import BenchError, Process, wait_until

OVS = "ovs"  # the name of this forwarder
PACKAGE = "openvswitch-switch-dpdk"
SWITCH = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
MEMORY_MB = 1024  # it makes room for 262,144 packets
LONGEST = 65375   # bytes of a frame: it must lie in one piece, of 65,535 bytes with what librte_vhost adds to it
NIC = "nic"       # as the switch calls it


def is_installed():
    """Whether all of it is there; Debian's service need not run, and is left alone if it does."""
    return all(map(shutil.which, (SWITCH, "ovsdb-server", "ovsdb-tool", "ovs-vsctl", "ovs-ofctl", "unshare")))


def parse_sent(text):
    """{port: packets sent} out of what `dpctl/show -s` says."""
    ports = re.split(r"port \d+: (\S+) \(", text)[1:]
    sent = {name: re.search(r"TX packets:(\d+)", told) for name, told in zip(ports[::2], ports[1::2])}
    return {name: int(found[1]) for name, found in sent.items() if found}


def parse_busy_cycles(text):
    """Cycles of the rounds that moved packets, of all threads, out of what `dpif-netdev/pmd-stats-show` says."""
    found = re.findall(r"processing cycles: (\d+)", text)
    if not found:
        raise BenchError(f"the switch's statistics make no sense:\n{text}")
    return sum(map(int, found))


class Control:
    """A connection to the socket where a daemon of Open vSwitch takes commands: JSON-RPC, as ovs-appctl speaks it."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(10)
        self._socket.connect(path)

    def ask(self, method, *parameters):
        """The text of the answer."""
        self._socket.sendall(json.dumps({"id": 0, "method": method, "params": parameters}).encode())
        heard = b""
        while True:
            try:
                more = self._socket.recv(65536)
            except OSError as error:
                raise BenchError(f"{method}: no answer from the switch: {error}") from error
            heard += more
            with contextlib.suppress(ValueError):  # not the whole answer yet
                answer = json.loads(heard)
                break
            if not more:
                raise BenchError(f"{method}: the switch has hung up")
        if answer["error"]:
            raise BenchError(f"{method}: {answer['error']}")
        return answer["result"]

    def close(self):
        """Hang up."""
        self._socket.close()


class Ovs(Forwarder):
    """A bridge of vhost-user ports and a NIC, and for each way one rule that looks at no address.

    It connects to guests that listen; ports that listen themselves are deprecated, and have no statistics. The switch
    has a network namespace of its own, because its bridges are devices of the kernel as well.
    """

    LISTENS = False

    def __init__(self, name, place, wiring):
        self._name = name
        self._place = place
        self._nic = wiring.nic
        self._sockets = wiring.sockets
        self._guests = [f"guest{number}" for number in range(len(wiring.sockets))]
        self._directory = ""
        self._database = None
        self._switch = None
        self._control = None
        self._before = None

    def processes(self):
        """The switch forwards; its database has nothing to do meanwhile."""
        return [process for process in (self._switch, self._database) if process]

    def start(self):
        """Start both; from then on the switch tries to connect, once a second."""
        self._directory = tempfile.mkdtemp(prefix=self._name + "-", dir=self._place.directory)
        self._start_database()
        self._start_switch()
        self._add_ports()
        self._add_rules()
        self._control = Control(self._path("switch.ctl"))

    def _path(self, name):
        return os.path.join(self._directory, name)

    def _start_database(self):
        run(["ovsdb-tool", "create", self._path("conf.db"), SCHEMA], "cannot make a database for the switch")
        self._database = self._process("database", [
            "ovsdb-server", self._path("conf.db"), f"--remote=punix:{self._path('db.sock')}",
            f"--unixctl={self._path('db.ctl')}"])
        wait_until(lambda: os.path.exists(self._path("db.sock")), 10, f"{self._name}: its database listens")
        dpdk = (f"--file-prefix={self._place.file_prefix(self._name)} --no-pci --iova-mode=va "
                f"--single-file-segments --no-telemetry")
        settings = {"dpdk-init": "true", "dpdk-socket-mem": MEMORY_MB, "dpdk-hugepage-dir": self._place.huge_dir,
                    "dpdk-extra": f'"{dpdk}"', "pmd-cpu-mask": hex(1 << self._place.cpu),
                    "n-handler-threads": 1, "n-revalidator-threads": 1}
        self._vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".",
                    *(f"other_config:{key}={value}" for key, value in settings.items()))

    def _start_switch(self):
        self._switch = self._process("switch", [
            "unshare", "--net", "env", f"OVS_RUNDIR={self._directory}", SWITCH, f"unix:{self._path('db.sock')}",
            f"--unixctl={self._path('switch.ctl')}"])

    def _process(self, what, argv):
        """A daemon that logs to a file alone: nobody reads its console."""
        name = f"{self._name}-{what}"
        return Process(name, argv + ["-vconsole:off", f"--log-file={self._place.log(name + '-told')}"],
                       self._place.cpu, self._place.log(name), self._place.nice)

    def _vsctl(self, *words):
        return run(["ovs-vsctl", "--timeout=30", f"--db=unix:{self._path('db.sock')}", *words],
                   f"{self._name}: the switch cannot be set up")

    def _add_ports(self):
        """The guests are ports 1 and up, the NIC the one after them."""
        words = ["add-br", self._name, "--", "set", "bridge", self._name, "datapath_type=netdev", "fail_mode=secure"]
        ports = [(guest, ["type=dpdkvhostuserclient", f"options:vhost-server-path={path}"])
                 for guest, path in zip(self._guests, self._sockets)]
        if self._nic:
            ports.append((NIC, ["type=dpdk", f'options:dpdk-devargs="{self._nic}"']))
        for number, (port, settings) in enumerate(ports, 1):
            words += ["--", "add-port", self._name, port,
                      "--", "set", "Interface", port, *settings, f"ofport_request={number}"]
        self._vsctl(*words)
        errors = self._vsctl("--bare", "--columns=error", "list", "Interface").strip()
        if errors:
            raise BenchError(f"{self._name}: {errors}")

    def _add_rules(self):
        bridge = "unix:" + self._path(self._name + ".mgmt")
        for there, back in ((1, 2), (2, 1)):
            run(["ovs-ofctl", "add-flow", bridge, f"in_port={there},actions=output:{back}"],
                f"{self._name}: the switch takes no rule")

    def wait_guests(self):
        """The switch forwards as soon as a guest is ready."""

    def begin(self):
        """Start counting."""
        self._before = self._read()

    def end(self):
        """What was counted since begin()."""
        busy_cycles, *others = (after - before for before, after in zip(self._before, self._read()))
        return Counted(busy_cycles % 2**64, *others)  # seen to start a little below zero, and to pass it

    def _read(self):
        """Counted's fields, each since some time in the past."""
        busy_cycles = parse_busy_cycles(self._control.ask("dpif-netdev/pmd-stats-show"))
        sent = parse_sent(self._control.ask("dpctl/show", "-s", "netdev@ovs-netdev"))
        return busy_cycles, sum(sent.get(guest, 0) for guest in self._guests), sent.get(NIC, 0), time.monotonic()

    def stop(self):
        """End both."""
        if self._control:
            self._control.close()
        for process in self.processes():
            process.stop()
        if self._directory:
            shutil.rmtree(self._directory)
        return ""
