# SPDX-License-Identifier: BSD-3-Clause
"""A machine that has a NIC for dptap to drive: QEMU under TCG with an emulated NIC and Debian's kernel.

Its root is the host's own, seen read-only through 9p, so dptap, DPDK and the drivers in it are those of the host.

    with Tap() as tap, Program(directory) as program, Machine(directory) as machine:
        machine.wait_ready()
        machine.prepare(program.wait())
        with RemoteDptap(machine, program.path, "--guest=...") as dptap:
            tap.ping(...)
            dptap.stop()

Programs in it are handled from here as those of the host are: what the classes of dptap.py and uplink.py do with
processes, files and sockets, machine_agent.py does in there.
"""

import ast
import atexit
import base64
import collections
import contextlib
import functools
import glob
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import types

from dptap import Dptap
from netns import Wire
from qemu import BOOT_DEADLINE, PROGRAM, ROOT, Qemu
from testing import Failure, Skip, wait_until
from uplink import TESTPMD, Testpmd, private_network

Nic = collections.namedtuple("Nic", "model pci mac tap")
"""QEMU's name for it, where it is in the machine, its address, and the host's end of its cable."""

NICS = {
    "e1000": Nic("e1000", "0000:00:05.0", "52:54:00:00:05:01", "net0"),
    "vmxnet3": Nic("vmxnet3", "0000:00:06.0", "52:54:00:00:05:02", "net1"),
    "virtio": Nic("virtio-net-pci", "0000:00:07.0", "52:54:00:00:05:03", "net2"),
}

NIC = NICS["e1000"].pci
NIC_MAC = NICS["e1000"].mac

BUILD_DEADLINE = 240.0
"""Seconds; a build takes twenty on an idle machine."""

HUGEPAGES = 128
"""Of 2 MiB, in the machine."""

DRIVERS = ("bus_pci", "bus_vdev", "mempool_ring", "net_e1000", "net_virtio", "net_vmxnet3")
"""What DPDK is to find there; all the hundred that Debian has would take a minute to load from 9p."""


@functools.cache
def image():
    """The directory with the machine's kernel and initrd; made when it is not there."""
    done = subprocess.run([os.path.join(ROOT, "scripts", "guest-image"), "--nic"], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        text = f"scripts/guest-image --nic: {done.stderr.strip()}"
        # without the Internet there is none
        raise Skip(text) if "download" in text or "package lists" in text else Failure(text)
    return done.stdout.strip()


def linked_libraries(program):
    """Paths of the libraries that a program is linked with."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=True)
    return re.findall(r"=> (/\S+)", done.stdout)


def driver_files(*programs):
    """(the directory that DPDK loads all drivers from, the files there that DRIVERS and these programs need)."""
    directories = glob.glob("/usr/lib/*/dpdk/pmds-*")
    if len(directories) != 1:
        raise Skip(f"DPDK's drivers are not in one place: {directories}")
    found = {path for name in DRIVERS for path in glob.glob(f"{directories[0]}/librte_{name}.so*")}
    for program in programs:
        for library in linked_libraries(program):
            real = os.path.realpath(library)
            if os.path.dirname(real) == directories[0]:
                found |= set(glob.glob(re.sub(r"\.so\..*", ".so*", real)))
    return directories[0], sorted(os.path.basename(path) for path in found)


class Tap(Wire):
    """The wire to the machine's NIC: a tap whose other end QEMU holds. Only the first NIC's has an address."""

    def __init__(self, nic=NICS["e1000"]):
        super().__init__(near=nic.tap)
        self.device = nic.pci

    def start(self):
        private_network()
        self.run("ip", "tuntap", "add", "dev", self.near, "mode", "tap")
        self.run("ip", "link", "set", self.near, "mtu", "9000", "up")
        if self.near == "net0":
            self.run("ip", "link", "set", "net0", "address", self.mac)
            self.run("ip", "addr", "add", f"{self.address}/24", "dev", "net0")


class Machine(Qemu):
    """The machine; after prepare() DPDK can have its NICs.

    nodes   NUMA nodes: one, or two, of which the first has CPUs 0 and 1, and the second CPU 2
    """

    def __init__(self, directory, nics=(NICS["e1000"],), nodes=1):
        super().__init__("machine", None, directory, mac=nics[0].mac)
        self._nics = nics
        self.nodes = nodes
        self._numbers = itertools.count(1)

    def command(self):
        images = image()
        kernel = ("console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check mitigations=off reboot=t "
                  f"pages={HUGEPAGES} agent={os.path.join(ROOT, 'tests', 'support', 'machine_agent.py')}")
        devices = []
        for number, nic in enumerate(self._nics):
            devices += ["-netdev", f"tap,id=n{number},ifname={nic.tap},script=no,downscript=no,vhost=off", "-device",
                        f"{nic.model},netdev=n{number},id=nic{number},mac={nic.mac},romfile=,addr={nic.pci[8:10]}"]
        numa = []
        for node, cpus in enumerate(("0-1", "2") if self.nodes == 2 else ()):
            numa += ["-object", f"memory-backend-ram,id=m{node},size=448M", "-numa",
                     f"node,nodeid={node},cpus={cpus},memdev=m{node}"]
        return [
            # the least CPU that Debian's DPDK runs on; two for dptap, one for its guest
            PROGRAM, "-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-M", "pc", "-smp", "3", "-m", "896",
            "-nodefaults", "-display", "none", "-no-reboot",
            "-chardev", f"file,id=con,path={self.path('console')},append=on", "-serial", "chardev:con",
            "-chardev", f"socket,id=agent,path={self.path('agent')},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,nr=1",
            "-qmp", f"unix:{self.path('qmp')},server=on,wait=off",
            "-virtfs", "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap",
            *devices, *numa,
            "-kernel", f"{images}/kernel", "-initrd", f"{images}/initrd", "-append", kernel,
        ]

    def wait_ready(self):
        self.attach()
        self._answer(re.compile(rb"^ready\n", re.MULTILINE), BOOT_DEADLINE, "boot")

    def call(self, name, *args, deadline=60):
        """Call a function of machine_agent.py."""
        number = b"%d" % next(self._numbers)
        request = base64.b64encode(repr((name, args)).encode())
        self._agent.settimeout(10)
        self._agent.sendall(number + b" " + request + b"\n")
        answer = self._answer(re.compile(rb"^%s (\S*)\n" % number, re.MULTILINE), deadline, f"{name}{args}")
        verdict, value = ast.literal_eval(base64.b64decode(answer[1]).decode())
        if verdict != "ok":
            raise Failure(f"in the machine: {name}{args}: {value}")
        return value

    def prepare(self, *programs):
        """Hand the NICs to DPDK, and let these programs find the drivers that they need."""
        self.call("narrow", *driver_files(*programs))
        for nic in self._nics:
            self.call("bind", nic.pci, "uio_pci_generic")

    def set_link(self, up):
        """Plug or pull the first NIC's cable."""
        self.qmp("set_link", name="nic0", up=up)


class Program:
    """A dptap of instructions that the machine has: TCG knows no AVX-512, which a build for this host may use.

    That is the one under test itself if it was built so; else the same source is built once more, beside whatever
    the test does until wait(), in a directory that the environment's DPTAP_GENERIC_BUILD names (to be used again the
    next time) or else in the one given.
    """

    def __init__(self, directory):
        self.path = os.environ["DPTAP"]
        self._build = os.environ.get("DPTAP_GENERIC_BUILD") or os.path.join(directory, "build")
        self._log = os.path.join(directory, "build.log")
        self._process = None

    def __enter__(self):
        if self._is_generic(os.path.dirname(os.path.dirname(os.path.abspath(self.path)))):
            return self
        self.path = os.path.join(self._build, "app", "dptap")
        if not shutil.which("meson") or not shutil.which("ninja"):
            raise Skip("a dptap for the machine cannot be built without meson and ninja")
        command = f"ninja -C {shlex.quote(self._build)} app/dptap"
        if not os.path.exists(os.path.join(self._build, "build.ninja")):
            command = f"meson setup -Dcpu=generic {shlex.quote(self._build)} {shlex.quote(ROOT)} && {command}"
        with open(self._log, "wb") as log:
            # pylint: disable=consider-using-with
            self._process = subprocess.Popen(["sh", "-c", command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             start_new_session=True)
        return self

    def __exit__(self, *_):
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @staticmethod
    def _is_generic(build):
        with contextlib.suppress(OSError), \
                open(os.path.join(build, "meson-info", "intro-buildoptions.json"), encoding="utf-8") as file:
            return {"cpu": "generic"} in [{option["name"]: option["value"]} for option in json.load(file)]
        return False

    def wait(self):
        """Wait until it is built; its path."""
        if self._process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(BUILD_DEADLINE)
            if self._process.poll() != 0:
                with open(self._log, encoding="utf-8", errors="replace") as file:
                    raise Failure(f"building dptap for the machine: {file.read()[-3000:]}")
        return self.path


_places = contextlib.ExitStack()
atexit.register(_places.close)


class World:
    """The cables, the machine with these NICs, booted once for all scenarios, and the program under test."""

    current = None

    @classmethod
    def get(cls, *names, nodes=1):
        """The one there is; a new one when its machine has gone."""
        if cls.current is None or not cls.current.machine.alive():
            _places.close()
            cls.current = cls([NICS[name] for name in names], nodes)
        return cls.current

    def __init__(self, nics, nodes=1):
        for program in (TESTPMD, PROGRAM):
            if not shutil.which(program):
                raise Skip(f"{program} is not installed")
        image()
        directory = _places.enter_context(tempfile.TemporaryDirectory(prefix="dptap-test-"))
        self.taps = [_places.enter_context(Tap(nic)) for nic in nics]
        self.machine = Machine(directory, nics, nodes)
        program = _places.enter_context(Program(directory))
        _places.enter_context(self.machine)
        self.machine.wait_ready()
        self.program = program.wait()
        self.machine.prepare(self.program, shutil.which(TESTPMD))


class RemoteProcess:
    """What subprocess.Popen is on the host."""

    def __init__(self, machine, command, out, err):
        self._machine = machine
        self.pid = machine.call("begin", command, out, err)
        self.returncode = None
        self.stdin = types.SimpleNamespace(write=lambda data: machine.call("say", self.pid, data),
                                           flush=lambda: None, close=lambda: None)

    def poll(self):
        """Its exit status, None while it runs."""
        if self.returncode is None and self._machine.alive():
            self.returncode = self._machine.call("poll", self.pid)
        return self.returncode

    def wait(self, deadline=60):
        """Wait for its end."""
        wait_until(lambda: self.poll() is not None or not self._machine.alive(), f"the end of process {self.pid}",
                   deadline, 0.02)
        return self.returncode

    def send_signal(self, number):
        """Send it a signal."""
        self._machine.call("kill", self.pid, int(number))

    def kill(self):
        """SIGKILL."""
        if self._machine.alive():
            self.send_signal(9)


class RemoteDptap(Dptap):
    """A dptap in the machine, with a NIC of it."""

    def __init__(self, machine, program, *args, nic=NIC, **more):
        super().__init__(*args, keep="/run", **more)
        self._machine = machine
        separator = self.command.index("--")
        # of two nodes each has a worker, and half of the hugepages
        place = ["--lcores", "0@0,1@1", "-m", "160"] if machine.nodes == 1 else [
            "--lcores", "0@0,1@1,2@2", "--socket-mem", "100,100"]
        self.command = [program, *place, "-a", nic, "--file-prefix", self.prefix,
                        *self.command[separator:]]

    def start(self):
        self.process = RemoteProcess(self._machine, self.command, self.out_path, self.log_path)

        def ready():
            found = re.search("ready: .*", self.log())
            if not found and self.process.poll() is not None:
                raise Failure(f"dptap ended with status {self.process.returncode} before it was ready")
            return found and found[0]

        self.ready = wait_until(ready, "dptap's `ready:` line", self.deadline, 0.02)
        return self

    def log(self):
        if not self._machine.alive():
            return self._machine.log()
        return self._machine.call("read", self.log_path).decode(errors="replace")

    def output(self):
        return self._machine.call("read", self.out_path).decode(errors="replace")

    def send_signal(self, number):
        self.process.send_signal(number)

    def tele_raw(self, command):
        return self._machine.call("ask", self.tele_path, command.encode())

    def ask_repeatedly(self, command, times):
        """Give a telemetry command again and again, without a pause."""
        self._machine.call("ask", self.tele_path, command.encode(), times, deadline=120)

    def _close_tele(self):
        if self.ready and self._machine.alive():
            self._machine.call("forget", self.tele_path)


class RemoteTestpmd(Testpmd):
    """A dpdk-testpmd in the machine, on the third of its CPUs."""

    def __init__(self, machine, vdevs, forward, args=()):
        super().__init__(vdevs, forward, args)
        self._machine = machine
        self.log_path = f"/run/{self.prefix}.log"
        self.command[self.command.index("--lcores") + 1] = "0@2,1@2"

    def start_process(self):
        self.process = RemoteProcess(self._machine, self.command, self.log_path, self.log_path + ".err")
        self._prompt(0)

    def log(self):
        if not self._machine.alive():
            return self._machine.log()
        return self._machine.call("read", self.log_path).decode(errors="replace")


class RemoteGuest:
    """A guest of ours in the machine (guest.py): every frame and header is in the test's hands.

    node    the NUMA node that its memory is bound to; by default, wherever it happens to be
    """

    def __init__(self, machine, path, features, node=None):
        self._machine = machine
        self._path = path
        self._features = features
        self._node = node
        self.features = 0

    def __enter__(self):
        self.features = self._machine.call("guest_up", self._path, self._features, self._node)
        return self

    def __exit__(self, *_):
        if self._machine.alive():
            self._machine.call("guest_down", self._path)

    def send(self, header, frame):
        """Send one frame, and wait until dptap has taken it."""
        self._machine.call("guest_send", self._path, header, frame)

    def poll(self):
        """(header, frame) of each that has arrived since the last call."""
        return self._machine.call("guest_poll", self._path)
