#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's own arithmetic: what is read out of testpmd, which pairs count, and what they amount to."""

import argparse
import contextlib
import io
import struct
import unittest

import compare
from compare import Pair, Ratio, judge, peers_case, summarise
from options import ROWS, chosen_cases
from process import BenchError
from session import GSO, GUEST_TO_GUEST, GUEST_TO_NIC, LOOP, NIC_TO_GUEST, SCENARIOS, Case, Window, write_capture
from testpmd import parse_forward_stats

STATS = """
  ---------------------- Forward statistics for port 0  ----------------------
  RX-packets: 11             RX-dropped: 0             RX-total: 11
  TX-packets: 300            TX-dropped: 0             TX-total: 300

  ---------------------- Forward statistics for port 1  ----------------------
  RX-packets: 1089           RX-dropped: 0             RX-total: 1089
  TX-packets: 700            TX-dropped: 100           TX-total: 800
  +++++++++++++++ Accumulated forward statistics for all ports+++++++++++++++
  RX-packets: 1100           RX-dropped: 0             RX-total: 1100
  TX-packets: 1000           TX-dropped: 100           TX-total: 1100
  ++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++++
"""
CYCLES = "\n  CPU cycles/packet=80.00 (total cycles=88000 / total RX packets=1100) at 2600 MHz Clock\n"


def pair(placement="near", subject_mpps=12.0, peer_mpps=10.0, subject_cycles=50.0, waited=0.0):
    """A pair of windows; the peer always takes 100 cycles for a packet."""
    return Pair(placement, Window(subject_mpps, subject_cycles, 1.0, 0.0), Window(peer_mpps, 100.0, 1.0, waited))


class TestpmdStatistics(unittest.TestCase):
    """What is read from the console."""

    def test_totals_of_all_ports_are_taken_not_those_of_the_first(self):
        stats = parse_forward_stats(STATS + CYCLES)

        self.assertEqual((stats.received, stats.sent), (1100, 1000))
        self.assertEqual((stats.busy_cycles, stats.tsc_hz), (88000, 2_600_000_000))

    def test_what_each_port_sent_is_told_apart(self):
        self.assertEqual(parse_forward_stats(STATS).sent_by, {0: 300, 1: 700})

    def test_a_testpmd_that_moved_nothing_has_no_busy_cycles(self):
        self.assertEqual(parse_forward_stats(STATS).busy_cycles, 0)

    def test_anything_else_is_an_error(self):
        with self.assertRaises(BenchError):
            parse_forward_stats("Bad arguments")


class Pairs(unittest.TestCase):
    """Which pairs count, and their ratios."""

    def test_pairs_of_different_placements_are_never_mixed(self):
        near, far = summarise(Case(NIC_TO_GUEST, 64), [pair("far", 3.0), pair("near", 20.0), pair("", 99.0)])

        self.assertEqual((near.placement, near.mpps_ratio.median), ("near", 2.0))
        self.assertEqual((far.placement, far.mpps_ratio.median), ("far", 0.3))

    def test_a_pair_with_a_crowded_window_does_not_count(self):
        crowded = pair(waited=compare.MOST_WAITED + 0.01)

        self.assertEqual(summarise(Case(NIC_TO_GUEST, 64), [crowded]), [])

    def test_the_middle_half_leaves_out_a_quarter_at_each_end(self):
        ratio = Ratio.of([8, 1, 2, 3, 4, 5, 6, 7])

        self.assertEqual((ratio.low, ratio.median, ratio.high), (3, 4.5, 6))

    def test_speed_is_throughput_towards_the_guest_and_cycles_towards_the_nic(self):
        pairs = [pair(subject_mpps=12.0, peer_mpps=10.0, subject_cycles=50.0)]

        self.assertAlmostEqual(summarise(Case(NIC_TO_GUEST, 64), pairs)[0].speed, 1.2)
        self.assertAlmostEqual(summarise(Case(GUEST_TO_NIC, 64), pairs)[0].speed, 2.0)


class Cases(unittest.TestCase):
    """Which rows are measured."""

    @staticmethod
    def chosen(**options):
        """What the command line with these options asks for."""
        given = {"scenario": None, "size": None, "virtio": None, "queues": None} | options
        return chosen_cases(argparse.Namespace(**given), argparse.ArgumentParser())

    def test_without_a_choice_all_rows_are_measured(self):
        self.assertEqual(self.chosen(), ROWS)

    def test_each_choice_narrows_them(self):
        self.assertEqual(self.chosen(scenario=GUEST_TO_GUEST, size=f"64,{GSO}", virtio="packed_vq=1"),
                         [Case(GUEST_TO_GUEST, 64, "packed_vq=1"), Case(GUEST_TO_GUEST, GSO, "packed_vq=1")])

    def test_what_cannot_be_measured_is_refused(self):
        for wrong in ({"size": "63"}, {"size": "large"}, {"scenario": "sideways"},
                      {"size": GSO, "scenario": GUEST_TO_NIC}):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                self.chosen(**wrong)

    def test_packets_come_out_at_the_guest_or_at_the_nic(self):
        self.assertEqual([scenario for scenario in SCENARIOS if not Case(scenario, 64).ends_at_guest],
                         [GUEST_TO_NIC, LOOP])

    def test_the_peer_may_have_other_rings(self):
        options = argparse.Namespace(peer_virtio="", peer_queues=None)

        self.assertEqual(peers_case(Case(NIC_TO_GUEST, 64, "packed_vq=1", 2), options), Case(NIC_TO_GUEST, 64, "", 2))


class Requirement(unittest.TestCase):
    """--require."""

    def verdict(self, pairs, required):
        """Of one case with these pairs."""
        case = Case(NIC_TO_GUEST, 64)
        return judge({case: summarise(case, pairs)}, required)[0]

    def test_it_is_met_or_missed_by_the_median(self):
        pairs = [pair(subject_mpps=9.0)] * compare.FEWEST_PAIRS

        self.assertIs(self.verdict(pairs, 0.89), True)
        self.assertIs(self.verdict(pairs, 0.91), False)

    def test_too_few_pairs_decide_nothing(self):
        self.assertIsNone(self.verdict([pair()] * (compare.FEWEST_PAIRS - 1), 0.5))


class Capture(unittest.TestCase):
    """The NIC of bridge mode."""

    def test_the_file_holds_as_many_frames_of_that_length_as_asked(self):
        file = io.BytesIO()

        write_capture(file, 60, n_frames=3)

        data = file.getvalue()
        self.assertEqual(len(data), 24 + 3 * (16 + 60))
        self.assertEqual(struct.unpack_from("<IIII", data, 24 + 2 * 76), (0, 0, 60, 60))
        self.assertEqual(data[24 + 16:24 + 22], bytes.fromhex("020000000011"))


if __name__ == "__main__":
    unittest.main()
