# SPDX-License-Identifier: BSD-3-Clause
"""The program under test: started, asked by telemetry, and stopped with its books checked.

The binary is what the environment's DPTAP names. Each instance has its own --file-prefix and its own directory for
sockets and logs, and is gone at the end of the `with` block, whatever happened in it.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

from testing import DEADLINE, Failure, check, equal, wait_until

_NUMBER = itertools.count(1)

_BALANCE = re.compile(
    r"balance: received (\d+) \+ created (\d+) = delivered (\d+) \+ dropped (\d+) \+ held (\d+): "
    r"(exact|WRONG by -?\d+); mbufs (\d+) of (\d+) back")


def cpus():
    """CPUs that this process may run on, in order."""
    return sorted(os.sched_getaffinity(0))


def lcores(n_workers=1):
    """--lcores for a control lcore and some workers, on as many CPUs as there are (several on one if need be)."""
    have = cpus()
    rest = have[1:] or have
    return ",".join([f"0@{have[0]}"] + [f"{i + 1}@{rest[i % len(rest)]}" for i in range(n_workers)])


def crowded_lcores(n_workers):
    """--lcores for a control lcore and some workers all over the CPUs, which interrupt each other amid their polls."""
    have = cpus()
    return ",".join(f"{i}@{have[i % len(have)]}" for i in range(n_workers + 1))


def runtime_dir():
    """Where DPDK keeps what processes of one --file-prefix share."""
    if os.geteuid() == 0:
        return "/var/run/dpdk"
    return os.path.join(os.environ.get("XDG_RUNTIME_DIR", "/tmp"), "dpdk")


class Dptap:
    """One run of dptap.

    `args`     its own arguments, behind "--"
    `vdevs`    for EAL's --vdev
    `eal`      further EAL arguments
    `config`   text of a configuration file, given with --config
    `keep`     a directory to use and to leave behind (so that a second run finds what the first one used)
    """

    def __init__(self, *args, vdevs=(), eal=(), config=None, n_workers=1, lcores_map=None, memory=512, keep=None,
                 deadline=DEADLINE):
        self.deadline = deadline
        self.prefix = f"dptap-test-{os.getpid()}-{next(_NUMBER)}"
        self._own_dir = keep is None
        self.dir = keep or tempfile.mkdtemp(prefix="dptap-test-")
        self.log_path = os.path.join(self.dir, self.prefix + ".log")
        self.out_path = os.path.join(self.dir, self.prefix + ".out")
        self.process = None
        self.ready = ""
        self._tele = None
        self._tele_lock = threading.Lock()
        if config is not None:
            path = os.path.join(self.dir, "dptap.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(config.replace("@DIR@", self.dir))
            args = ("--config", path) + args
        self.command = [os.environ["DPTAP"], "--lcores", lcores_map or lcores(n_workers), "--no-huge",
                        "-m", str(memory), "--no-pci", "--file-prefix", self.prefix]
        for vdev in vdevs:
            self.command += ["--vdev", vdev.replace("@DIR@", self.dir)]
        self.command += list(eal) + ["--"] + [arg.replace("@DIR@", self.dir) for arg in args]

    def path(self, name):
        """A path in this run's directory; `@DIR@/name` in arguments and configuration is the same one."""
        return os.path.join(self.dir, name)

    def socket(self, name):
        """Where guest() puts a guest's socket."""
        return self.path(name + ".sock")

    # -- coming and going -------------------------------------------------------------------------------------

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None and issubclass(kind, Exception):
            self.show_log()
        self._clear()

    def start(self):
        """Start it and wait for its `ready:` line.

        net_af_packet numbers its socket's group by process and interface, and two processes may come out at the same
        number: then the second one is not at fault, and a new process has another.
        """
        for _ in range(5):
            try:
                return self._start_once()
            except Failure:
                if "could not set PACKET_FANOUT" not in self.log():
                    self.show_log()
                    raise
        self.show_log()
        raise Failure("net_af_packet's sockets clash again and again")

    def _start_once(self):
        with open(self.log_path, "wb") as log, open(self.out_path, "wb") as out:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)

        def ready():
            found = re.search(r"ready: .*", self.log())
            if found:
                return found.group()
            if self.process.poll() is not None:
                raise Failure(f"dptap ended with status {self.process.returncode} before it was ready")
            return None

        self.ready = wait_until(ready, "dptap's `ready:` line", self.deadline, 0.01)
        return self

    def log(self):
        """What it has written on stderr."""
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def output(self):
        """What it has written on stdout."""
        with open(self.out_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def show_log(self, lines=30):
        """Print the end of the log, for the person who looks at a failed test; the library's chatter shortened."""
        print("# " + " ".join(self.command))
        if self.process and self.process.poll() is not None:
            print(f"# dptap has ended with status {self.process.returncode}")
        with contextlib.suppress(OSError):
            text = (self.log() + self.output()).splitlines()
            own = [line for line in text if "VHOST_CONFIG" not in line]
            for line in own[-lines:] + ["the library's last words:"] + [line for line in text if line not in own][-10:]:
                print(f"# | {line}")

    def alive(self):
        return self.process.poll() is None

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        """As the out-of-memory killer would."""
        self._close_tele()
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def _clear(self):
        self.kill()
        shutil.rmtree(os.path.join(runtime_dir(), self.prefix), ignore_errors=True)
        if self._own_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    @contextlib.contextmanager
    def frozen(self):
        """All its threads stand still meanwhile: what was prepared is seen at one go."""
        self.send_signal(signal.SIGSTOP)
        try:
            wait_until(lambda: self._stat() == "T", "dptap to stand still", self.deadline)
            yield
        finally:
            self.send_signal(signal.SIGCONT)

    def _stat(self):
        states = set()
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with contextlib.suppress(FileNotFoundError), \
                    open(f"/proc/{self.process.pid}/task/{task}/stat", encoding="ascii", errors="replace") as file:
                states.add(file.read().rpartition(")")[2].split()[0])
        return states.pop() if len(states) == 1 else None

    def stop(self, number=signal.SIGTERM):
        """Stop it cleanly; its books must be exact and all mbufs back. The totals that it printed, as a dict."""
        self._close_tele()
        self.send_signal(number)
        try:
            status = self.process.wait(self.deadline)
        except subprocess.TimeoutExpired as err:
            raise Failure(f"dptap has not ended {self.deadline:.0f} s after {signal.Signals(number).name}") from err
        last = (self.output().splitlines() or [""])[-1]
        found = _BALANCE.fullmatch(last)
        check(found, f"the last line on stdout is no balance: {last!r} (exit status {status})")
        equal(found[6], "exact", f"the verdict of {last!r}")
        equal(found[7], found[8], f"mbufs that came back, in {last!r}")
        equal(status, 0, "exit status")
        names = ("received", "created", "delivered", "dropped", "held")
        totals = {name: int(found[i + 1]) for i, name in enumerate(names)}
        equal(totals["received"] + totals["created"], totals["delivered"] + totals["dropped"] + totals["held"],
              f"the two sides of {last!r}")
        totals["mbufs"] = int(found[8])
        return totals

    # -- telemetry --------------------------------------------------------------------------------------------

    @property
    def tele_path(self):
        """Where the `ready:` line says that its telemetry is."""
        found = re.search(r"telemetry: (\S+)", self.ready)
        check(found, f"no telemetry socket in {self.ready!r}")
        return found[1]

    def _close_tele(self):
        if self._tele:
            self._tele.close()
            self._tele = None

    def tele_raw(self, command):
        """The answer to a telemetry command as it came, in bytes; any thread may ask."""
        with self._tele_lock:
            if not self._tele:
                self._tele = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                self._tele.settimeout(self.deadline)
                self._tele.connect(self.tele_path)
                self._tele.recv(16384)
            self._tele.send(command.encode())
            return self._tele.recv(65536)

    def tele(self, command):
        """The answer to a telemetry command: what stands behind the command's name."""
        answer = json.loads(self.tele_raw(command))
        name = command.split(",")[0]
        if list(answer) != [name]:
            raise Failure(f"{command} was answered with {list(answer)}")
        return answer[name]

    def _numbered(self, command):
        """The elements of an answer whose keys are numbers, over as many messages as it takes."""
        found, first = [], 0
        while first is not None:
            answer = self.tele(f"{command},{first}" if first else command)
            following = answer.pop("next", None)
            if following is not None and following <= first:
                raise Failure(f"{command},{first} goes on at {following}")
            found += answer.values()
            first = following
        return found

    def ports(self):
        """All ports: a list of {"name", "kind", "state", "dropped"}."""
        return self._numbered("/dptap/ports")

    def lcores(self):
        """All workers: a list of {"lcore", "queues", "received", ...}."""
        return self._numbered("/dptap/lcores")

    def wait_asleep(self):
        """Wait until all workers sleep (idle=sleep): none goes to sleep anew while time passes asleep alone."""
        before = {}

        def all_sleep():
            lasts = True
            for one in self.lcores():
                now = (one["sleeps"], one["sleep_cycles"], one["idle_cycles"])
                then = before.get(one["lcore"], (0, 0, 0))
                before[one["lcore"]] = now
                lasts &= now[0] > 0 and now[0] == then[0] and now[1] > then[1] and now[2] - now[1] == then[2] - then[1]
            return lasts

        wait_until(all_sleep, "all workers to sleep", self.deadline)

    def numa(self):
        """All NUMA nodes by their numbers, as strings: {"0": {"lcores", "guests", "lanes", "crossing", ...}}."""
        nodes, following = {}, ""
        while following is not None:
            answer = self.tele(f"/dptap/numa,{following}" if following else "/dptap/numa")
            following = answer.pop("next", None)
            nodes.update(answer)
        return nodes

    def port(self, name):
        return self.tele(f"/dptap/port,{name}")

    def state(self, name):
        return self.port(name)["state"]

    def wait_state(self, name, *states):
        """Wait until a port is in one of these states."""
        last = []

        def there():
            last[:] = [self.state(name)]
            return last[0] in states

        wait_until(there, lambda: f"{name} to be {' or '.join(states)}: it is {last}", self.deadline)
        return last[0]

    def drops(self, name=None):
        """Packets dropped (at one port), as {(direction,) reason, cause): packets}; flat, zero counts left out."""
        answer = self.tele("/dptap/drops" + (f",{name}" if name else ""))
        found = {}
        if name is None:
            for reason, causes in answer.items():
                if isinstance(causes, dict):
                    found.update({(reason, cause): n for cause, n in causes.items() if n})
            return found
        for direction in ("from_guest", "to_guest", "port_rx", "port_tx"):
            for reason, causes in (answer.get(direction) or {}).items():
                found.update({(direction, reason, cause): n for cause, n in causes.items() if n})
        return found

    def balance(self):
        return self.tele("/dptap/balance")

    def settle(self, held=0):
        """Wait until nothing moves, the books are exact, and `held` packets wait in lanes; the balance."""
        seen = []

        def still():
            now = self.balance()
            quiet = bool(seen) and now == seen[-1] and now["balanced"] == "yes" and now["held"] == held
            seen.append(now)
            return quiet

        # two equal answers some polls of every queue apart
        wait_until(still, lambda: f"the books to come to rest with {held} packets held: {seen[-1]}",
                   min(self.deadline, 30), 0.005)
        equal(seen[-1]["difference"], 0, "difference in /dptap/balance")
        return seen[-1]

    @contextlib.contextmanager
    def expect_drops(self, expected, ports, held=0):
        """What the block makes dptap drop, exactly: {(port, direction, cause): packets}; nothing else at `ports`.

        Ends with the law: the books at rest and exact.
        """
        before = self._drops_of(ports)
        yield
        last = []

        def as_expected():
            now = self._drops_of(ports)
            last[:] = [{key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key, 0)}]
            return last[0] == expected

        try:
            wait_until(as_expected, "drops", min(self.deadline, 30))
        except Failure:
            equal(last[0], expected, "drops by port, direction and cause")
        self.settle(held)
        equal(self._difference(before, ports), expected, "drops by port, direction and cause, at rest")

    def _drops_of(self, ports):
        found = {}
        for port in ports:
            for (direction, _, cause), n in self.drops(port).items():
                found[(port, direction, cause)] = n
        return found

    def _difference(self, before, ports):
        now = self._drops_of(ports)
        return {key: now[key] - before.get(key, 0) for key in now if now[key] != before.get(key, 0)}


def guest(name, **settings):
    """The --guest argument of a guest whose socket Dptap.socket(name) tells."""
    settings.setdefault("socket", f"@DIR@/{name}.sock")
    return "--guest=" + ",".join([name] + [f"{key}={value}" for key, value in settings.items()])


def uplink(name, **settings):
    """The --uplink argument of an uplink."""
    return "--uplink=" + ",".join([name] + [f"{key}={value}" for key, value in settings.items()])
