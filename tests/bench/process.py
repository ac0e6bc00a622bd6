# SPDX-License-Identifier: BSD-3-Clause
"""A child process pinned to one CPU: its console, freezing it, and how long it waited for the CPU."""

import contextlib
import os
import re
import select
import signal
import subprocess
import time


class BenchError(Exception):
    """Something that keeps the benchmark from running; its text is for the user."""


def wait_until(condition, timeout, what):
    """Poll until condition() is true; BenchError with @what when that takes longer than timeout seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: still not so after {timeout:g} s")
        time.sleep(0.02)


def be_real_time(flags=0):
    """Go before all ordinary processes, for who runs seldom and briefly, and whose clock readings matter."""
    with contextlib.suppress(OSError):  # not allowed everywhere; then crowded windows are less exact
        os.sched_setscheduler(0, os.SCHED_FIFO | flags, os.sched_param(1))


def be_nice(nice):
    """Take a nice value; the session is ours alone, and where the kernel groups tasks by session, its value counts."""
    if nice:
        os.nice(nice)
        with contextlib.suppress(OSError), open("/proc/self/autogroup", "w", encoding="ascii") as file:
            file.write(str(nice))


def wait_of_busiest(before, after):
    """Seconds that the thread which ran most between two looks at schedules() was ready to run and did not."""
    spent = {thread: tuple(now - then for now, then in zip(times, before.get(thread, (0, 0))))
             for thread, times in after.items()}
    return max(spent.values(), default=(0, 0))[1] / 1e9


class Process:
    """A child whose standard output and error are read here, and whose standard input takes command lines.

    It runs in a session of its own (so that Ctrl-C reaches the benchmark alone), and is killed by the kernel if the
    benchmark itself is killed.
    """

    def __init__(self, name, argv, cpu, log_path, nice=0):
        self.name = name
        self.log_path = log_path
        self._unread = ""
        self._log = open(log_path, "w", encoding="utf-8")
        self._log.write("# " + " ".join(argv) + "\n")
        wrapped = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(cpu), "stdbuf", "-oL", "-eL"] + argv
        self._child = subprocess.Popen(wrapped, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, start_new_session=True,
                                       preexec_fn=lambda: be_nice(nice))
        os.set_blocking(self._child.stdout.fileno(), False)

    def alive(self):
        """Whether the process still runs."""
        return self._child.poll() is None

    def send(self, line):
        """Type one line into its console."""
        self._read_available()
        self._unread = ""
        try:
            self._child.stdin.write((line + "\n").encode())
            self._child.stdin.flush()
        except BrokenPipeError:
            self._fail("has ended")

    def expect(self, pattern, timeout):
        """Wait for a pattern in what it prints; consume up to its end and return the match."""
        deadline = time.monotonic() + timeout
        while True:
            match = re.search(pattern, self._unread, re.DOTALL)
            if match:
                self._unread = self._unread[match.end():]
                return match
            left = deadline - time.monotonic()
            if left <= 0:
                self._fail(f"did not print '{pattern}' within {timeout:g} s")
            select.select([self._child.stdout], [], [], left)
            if not self._read_available():
                self._fail("ended unexpectedly")

    def _read_available(self):
        """Take what it has printed; False at the end of its output."""
        while True:
            try:
                chunk = os.read(self._child.stdout.fileno(), 65536)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            text = chunk.decode(errors="replace")
            self._unread += text
            self._log.write(text)
            self._log.flush()

    def _fail(self, what):
        self._read_available()
        self._log.flush()
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            tail = "".join("    " + line for line in file.readlines()[-12:])
        raise BenchError(f"{self.name} {what}; the end of its output:\n{tail.rstrip()}")

    def freeze(self):
        """Take it off the CPU; it keeps its memory and connections."""
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self):
        """Let it run again; no harm if it runs already, or has ended."""
        self._child.send_signal(signal.SIGCONT)

    def schedules(self):
        """{thread: (nanoseconds it ran, nanoseconds it was ready to run and did not)} since each started."""
        threads = {}
        for task in os.scandir(f"/proc/{self._child.pid}/task"):
            try:
                with open(task.path + "/schedstat", encoding="ascii") as file:
                    ran_ns, waited_ns, _ = map(int, file.read().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # a thread that has just ended
            threads[task.name] = (ran_ns, waited_ns)
        return threads

    def megabytes(self):
        """Memory that it has: hugepages and others."""
        with open(f"/proc/{self._child.pid}/status", encoding="ascii") as file:
            found = dict(re.findall(r"(VmRSS|HugetlbPages):\s+(\d+) kB", file.read()))
        return sum(map(int, found.values())) / 1024

    def stop(self, quit_line=None, timeout=10):
        """End it, the polite way first; returns its exit status and everything it printed at the end."""
        if self.alive():
            self.thaw()
            if quit_line is None:
                self._child.send_signal(signal.SIGTERM)
            else:
                with contextlib.suppress(BenchError):  # it has ended by itself meanwhile
                    self.send(quit_line)
            for harder in (signal.SIGTERM, signal.SIGKILL, None):
                if self._ended(timeout) or harder is None:
                    break
                self._child.send_signal(harder)
        status = self._child.wait()
        self._read_available()
        self._log.close()
        self._child.stdin.close()
        self._child.stdout.close()
        return status, self._unread

    def _ended(self, timeout):
        """Wait for its end, reading its output so that a full pipe cannot hold it up."""
        deadline = time.monotonic() + timeout
        while self.alive() and time.monotonic() < deadline:
            self._read_available()
            time.sleep(0.02)
        return not self.alive()
