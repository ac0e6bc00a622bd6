# SPDX-License-Identifier: BSD-3-Clause
"""What the benchmark needs of the machine: hugepages, and how near its two CPUs are to each other."""

import os
import shlex
import subprocess

from process import BenchError, be_real_time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PAGE_BYTES = 2 << 20
POOL = "/sys/kernel/mm/hugepages/hugepages-2048kB"


def run(argv, what, preexec=None):
    """Run a short command; BenchError if it fails."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, preexec_fn=preexec)
    except FileNotFoundError as error:
        raise BenchError(f"{what}: {argv[0]} is not installed") from error
    if done.returncode != 0:
        raise BenchError(f"{what}: {done.stderr.strip() or f'{argv[0]} ended with status {done.returncode}'}")
    return done.stdout


def compile_load(directory, name):
    """Compile one of the loads that are programs of DPDK's; returns its path."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), name + ".c")
    program = os.path.join(directory, name)
    flags, libs = (shlex.split(run(["pkg-config", what, "libdpdk"], "cannot find DPDK"))
                   for what in ("--cflags", "--libs"))
    run(["cc", "-O3", *flags, "-march=native", "-o", program, source, *libs], f"cannot compile {name}.c")
    return program


def check_cpus(dut_cpu, gen_cpu):
    """Both CPUs must exist, be usable, and differ."""
    usable = os.sched_getaffinity(0)
    if dut_cpu == gen_cpu:
        raise BenchError(f"the forwarder and the load need a CPU each, not both CPU {dut_cpu}")
    for cpu in (dut_cpu, gen_cpu):
        if cpu not in usable:
            raise BenchError(f"CPU {cpu} is not usable here; usable: {', '.join(map(str, sorted(usable)))}")


class HugePages:
    """2 MB hugepages under a mount of our own; on exit everything taken is given back.

    The pages of processes that did not clean up vanish with the mount, so nothing of ours can stay behind in a
    directory that others use.
    """

    def __init__(self, mount_point, n_pages):
        self.path = mount_point
        self._n_pages = n_pages
        self._n_added = 0
        self._mounted = False

    def __enter__(self):
        try:
            self._reserve()
            os.makedirs(self.path)
            run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M,mode=0700", "none", self.path],
                "cannot mount hugetlbfs")
            self._mounted = True
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._mounted:
            subprocess.run(["umount", "--lazy", self.path], check=False)
            os.rmdir(self.path)
        if self._n_added:
            write_pool("nr_hugepages", max(0, read_pool("nr_hugepages") - self._n_added))

    def _reserve(self):
        if not os.path.isdir(POOL):
            raise BenchError("this kernel has no 2 MB hugepages")
        missing = self._n_pages - (read_pool("free_hugepages") - read_pool("resv_hugepages"))
        if missing <= 0:
            return
        before = read_pool("nr_hugepages")
        try:
            write_pool("nr_hugepages", before + missing)
        except OSError as error:
            raise BenchError(f"{missing} more 2 MB hugepages are needed and cannot be reserved: "
                             f"{error.strerror}; run as root, or reserve {before + missing} "
                             f"in {POOL}/nr_hugepages first") from error
        self._n_added = max(0, read_pool("nr_hugepages") - before)
        if self._n_added < missing:
            raise BenchError(f"{self._n_pages} free 2 MB hugepages ({self._n_pages * PAGE_BYTES >> 20} MB) are "
                             f"needed, and the kernel found only {self._n_added} of the {missing} missing ones: "
                             "memory is short or in pieces")


def read_pool(name):
    """One number of the 2 MB hugepage pool."""
    with open(f"{POOL}/{name}", encoding="ascii") as file:
        return int(file.read())


def write_pool(name, value):
    """Set one number of the 2 MB hugepage pool."""
    with open(f"{POOL}/{name}", "w", encoding="ascii") as file:
        file.write(str(value))


class Placement:
    """Asks how long a cache line takes from one CPU to the other, and gives the answer a name.

    sibling: two threads of one core; near: a common cache; far: different caches. Throughput across the two CPUs
    differs up to fourfold between them, so only windows of one placement may be compared.
    """

    NAMES = ("sibling", "near", "far")

    def __init__(self, directory, cpus, sibling_ns, near_ns):
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "c2c_probe.c")
        program = os.path.join(directory, "c2c_probe")
        run(["cc", "-O2", "-pthread", "-o", program, source], "cannot compile c2c_probe.c")
        self._argv = [program] + [str(cpu) for cpu in cpus]
        self._sibling_ns = sibling_ns
        self._near_ns = near_ns

    def measure(self):
        """(name, nanoseconds) of the present placement."""
        one_way_ns = float(run(self._argv, "c2c_probe", be_real_time))
        if one_way_ns < self._sibling_ns:
            return "sibling", one_way_ns
        return ("near" if one_way_ns < self._near_ns else "far"), one_way_ns
