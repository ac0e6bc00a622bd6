#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark's own arithmetic: what is read out of the programs, which rounds count, and what they amount to."""

import argparse
import contextlib
import io
import os
import struct
import time
import unittest

import books
import chart
import compare
from compare import Ratio, Round, as_peer, judge, summarise, take_turns
from forwarder import TESTPMD
from guests import COUNTS, Result as CrowdResult, Standing, per_guest, rows_of as crowd_rows, standing_rows
import idle
from latency import LEVELS, LOSSES, SLICES, Level, RateSearch, Result, rows_of, try_rate
from options import ROWS, check_peers, chosen_cases
from ovs import OVS, parse_busy_cycles, parse_sent
from paced_load import Trial, merged, parse_trial, percentile
from process import BenchError, wait_of_busiest
from programs import name_programs, refusal, skip_missing
import report
from session import GSO, GUEST_TO_GUEST, GUEST_TO_NIC, LOOP, NIC_TO_GUEST, SCENARIOS, Case, Window, nic_devargs, \
    write_capture
import stages
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


PORTS = """netdev@ovs-netdev:
  lookups: hit:9 missed:1 lost:0
  flows: 1
  port 0: ovs-netdev (tap)
    RX packets:0 errors:0 dropped:0 overruns:0 frame:0
    TX packets:0 errors:0 dropped:0 aborted:0 carrier:0
    collisions:0
    RX bytes:0  TX bytes:0
  port 1: guest0 (dpdkvhostuserclient: configured_rx_queues=1, configured_tx_queues=1, mtu=0)
, could not retrieve stats (Protocol error)  port 2: nic (dpdk: configured_rx_queues=1, mtu=1500)
    RX packets:500 errors:0 dropped:0 overruns:? frame:?
    TX packets:700 errors:0 dropped:0 aborted:? carrier:?
    collisions:?
    RX bytes:30000  TX bytes:42000
"""
THREADS = """pmd thread numa_id 0 core_id 0:
  packets received: 1200
  avg. packets per output batch: 32.00
  idle cycles: 7010278023 (99.00%)
  processing cycles: 88000 (1.00%)
  avg cycles per packet: 5841971.69 (7010366023/1200)
  avg processing cycles per packet: 73.33 (88000/1200)
main thread:
  packets received: 1
  processing cycles: 2000
"""


def one_round(placement="near", subject_mpps=12.0, peer_mpps=10.0, subject_cycles=50.0, waited=0.0):
    """A round of two windows; the peer always takes 100 cycles for a packet."""
    return Round(placement, [Window(subject_mpps, subject_cycles, 1.0, 0.0), Window(peer_mpps, 100.0, 1.0, waited)])


def three_windows():
    """A round of a subject and two peers."""
    figures = ((12.0, 50.0), (10.0, 100.0), (6.0, 200.0))
    return Round("far", [Window(mpps, cycles, 1.0, 0.0) for mpps, cycles in figures])


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


class SwitchStatistics(unittest.TestCase):
    """What the switch says."""

    def test_what_each_port_sent_is_told_apart_and_a_port_without_statistics_sent_nothing(self):
        self.assertEqual(parse_sent(PORTS), {"ovs-netdev": 0, "nic": 700})

    def test_the_cycles_of_all_threads_are_added_up(self):
        self.assertEqual(parse_busy_cycles(THREADS), 90000)

    def test_anything_else_is_an_error(self):
        with self.assertRaises(BenchError):
            parse_busy_cycles("")


class Waiting(unittest.TestCase):
    """How long the thread that works waited for its CPU."""

    def test_it_is_the_thread_that_ran_most_in_the_window_not_before(self):
        before = {"main": (9e9, 5e9), "worker": (1e9, 0)}
        after = {"main": (9.1e9, 7e9), "worker": (2e9, 0.25e9), "new": (0.5e9, 1e9)}

        self.assertEqual(wait_of_busiest(before, after), 0.25)


class Programs(unittest.TestCase):
    """What is compared."""

    def test_each_has_a_name_of_its_own(self):
        names = [name for name, _ in name_programs(["a", TESTPMD, OVS, "b", "c"])]

        self.assertEqual(names, ["dptap", "testpmd", "ovs", "other-dptap", "other2-dptap"])

    def test_a_switch_that_is_not_installed_is_skipped(self):
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            self.assertEqual(skip_missing([TESTPMD, OVS], False), [TESTPMD])

        self.assertIn("openvswitch-switch-dpdk", told.getvalue())
        self.assertEqual(skip_missing([OVS], True), [OVS])
        with self.assertRaises(BenchError):
            skip_missing([OVS], False)

    def test_the_switch_leaves_out_frames_of_64_kib(self):
        self.assertTrue(refusal(OVS, Case(GUEST_TO_GUEST, GSO)))
        self.assertFalse(refusal(OVS, Case(GUEST_TO_GUEST, 1518)) or refusal(TESTPMD, Case(GUEST_TO_GUEST, GSO)))

    def test_one_against_itself_is_there_twice(self):
        self.assertEqual(name_programs([OVS, OVS]), [("ovs", OVS), ("same-ovs", OVS)])

    def test_peers_that_cannot_do_what_is_asked_are_refused(self):
        for wrong in ({"peer": f"{OVS},{OVS}"}, {"peer": f"{OVS},"}, {"peer": f"{TESTPMD},{OVS}", "calibrate": True},
                      {"peer": f"dptap,{OVS}", "queues": 2}):
            options = argparse.Namespace(**{"calibrate": False, "queues": None, "peer_queues": None} | wrong)
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                check_peers(options, argparse.ArgumentParser())


class Rounds(unittest.TestCase):
    """Which rounds count, and their ratios."""

    def test_the_subject_is_measured_next_to_its_peers(self):
        self.assertEqual(take_turns(2, swapped=False), [0, 1])
        self.assertEqual(take_turns(3, swapped=False), [1, 0, 2])
        self.assertEqual(take_turns(3, swapped=True), [2, 0, 1])

    def test_any_program_can_be_held_against_any_other(self):
        summary, = summarise(Case(NIC_TO_GUEST, 64), [three_windows()])

        self.assertEqual(summary.medians("mpps"), [12.0, 10.0, 6.0])
        self.assertEqual(summary.speed(0, 2).median, 2.0)
        self.assertEqual(summary.speed(2, 1).median, 0.6)

    def test_rounds_of_different_placements_are_never_mixed(self):
        rounds = [one_round("far", 3.0), one_round("near", 20.0), one_round("", 99.0)]

        near, far = summarise(Case(NIC_TO_GUEST, 64), rounds)

        self.assertEqual((near.placement, near.ratio("mpps", 0, 1).median), ("near", 2.0))
        self.assertEqual((far.placement, far.ratio("mpps", 0, 1).median), ("far", 0.3))

    def test_a_round_with_a_crowded_window_does_not_count(self):
        crowded = one_round(waited=compare.MOST_WAITED + 0.01)

        self.assertEqual(summarise(Case(NIC_TO_GUEST, 64), [crowded]), [])

    def test_the_middle_half_leaves_out_a_quarter_at_each_end(self):
        ratio = Ratio.of([8, 1, 2, 3, 4, 5, 6, 7])

        self.assertEqual((ratio.low, ratio.median, ratio.high), (3, 4.5, 6))

    def test_speed_is_throughput_towards_the_guest_and_cycles_towards_the_nic(self):
        rounds = [one_round(subject_mpps=12.0, peer_mpps=10.0, subject_cycles=50.0)]

        self.assertAlmostEqual(summarise(Case(NIC_TO_GUEST, 64), rounds)[0].speed(0, 1).median, 1.2)
        self.assertAlmostEqual(summarise(Case(GUEST_TO_NIC, 64), rounds)[0].speed(0, 1).median, 2.0)


class Cases(unittest.TestCase):
    """Which rows are measured."""

    @staticmethod
    def chosen(**options):
        """What the command line with these options asks for."""
        given = {"what": "speed", "scenario": None, "size": None, "virtio": None, "queues": None} | options
        return chosen_cases(argparse.Namespace(**given), argparse.ArgumentParser())

    def test_without_a_choice_all_rows_are_measured(self):
        self.assertEqual(self.chosen(), ROWS)

    def test_each_choice_narrows_them(self):
        self.assertEqual(self.chosen(scenario=GUEST_TO_GUEST, size=f"64,{GSO}", virtio="packed_vq=1"),
                         [Case(GUEST_TO_GUEST, 64, "packed_vq=1"), Case(GUEST_TO_GUEST, GSO, "packed_vq=1")])

    def test_what_cannot_be_measured_is_refused(self):
        for wrong in ({"size": "63"}, {"size": "large"}, {"scenario": "sideways"},
                      {"size": GSO, "scenario": NIC_TO_GUEST}, {"size": GSO, "scenario": GUEST_TO_NIC, "queues": 2}):
            with contextlib.redirect_stderr(io.StringIO()), self.assertRaises(SystemExit):
                self.chosen(**wrong)

    def test_a_nic_that_cuts_is_the_loads_other_end(self):
        self.assertEqual([case for case in ROWS if case.nic_cuts], [Case(GUEST_TO_NIC, GSO)])
        self.assertEqual(nic_devargs(Case(GUEST_TO_NIC, GSO), False, "/somewhere", "/cable").split(",")[:2],
                         ["net_virtio_user0", "path=/cable"])

    def test_packets_come_out_at_the_guest_or_at_the_nic(self):
        self.assertEqual([scenario for scenario in SCENARIOS if not Case(scenario, 64).ends_at_guest],
                         [GUEST_TO_NIC, LOOP])

    def test_the_peer_may_have_other_rings(self):
        options = argparse.Namespace(peer_virtio="", peer_queues=None, mode="bridge", peer_mode="passthru")

        case, theirs = as_peer(Case(NIC_TO_GUEST, 64, "packed_vq=1", 2), options)

        self.assertEqual(case, Case(NIC_TO_GUEST, 64, "", 2))
        self.assertEqual((theirs.mode, options.mode), ("passthru", "bridge"))


class Requirement(unittest.TestCase):
    """--require."""

    def verdict(self, rounds, required, names=("dptap", "testpmd")):
        """Of one case with these rounds."""
        case = Case(NIC_TO_GUEST, 64)
        return judge({case: summarise(case, rounds)}, names, required)[0]

    def test_it_is_met_or_missed_by_the_median(self):
        rounds = [one_round(subject_mpps=9.0)] * compare.FEWEST_ROUNDS

        self.assertIs(self.verdict(rounds, 0.89), True)
        self.assertIs(self.verdict(rounds, 0.91), False)

    def test_it_holds_for_each_peer(self):
        rounds = [three_windows()] * compare.FEWEST_ROUNDS

        self.assertIs(self.verdict(rounds, 1.2, ("dptap", "testpmd", "ovs")), True)
        self.assertIs(self.verdict(rounds, 1.5, ("dptap", "testpmd", "ovs")), False)

    def test_too_few_rounds_decide_nothing(self):
        self.assertIsNone(self.verdict([one_round()] * (compare.FEWEST_ROUNDS - 1), 0.5))


class Table(unittest.TestCase):
    """The page that is written at the end."""

    def table(self, names, rounds):
        """Its lines of cells."""
        options = argparse.Namespace(mode="passthru", peer_virtio=None, peer_queues=None, peer_mode=None, window=0.7,
                                     starts=1)
        case = Case(LOOP, 64)
        page = report.markdown({case: summarise(case, rounds)}, names, options)
        return [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]

    def test_each_peer_has_its_columns(self):
        heads, cells = self.table(["dptap", "testpmd", "ovs"], [three_windows()])
        row = dict(zip(heads, cells))

        self.assertEqual((len(heads), len(cells)), (17, 17))
        self.assertEqual((row["dptap Mpps"], row["testpmd Mpps"], row["ovs Mpps"]), ("12.00", "10.00", "6.00"))
        self.assertEqual((row["speed to testpmd"], row["speed to ovs"]), ("**1.20**", "**2.00**"))
        self.assertEqual(row["cycles ratio to ovs"], "0.25 (0.25..0.25)")

    def test_a_peer_that_cannot_do_a_case_has_empty_columns(self):
        rounds = [Round("far", three_windows().windows[:2] + [None])]

        heads, cells = self.table(["dptap", "testpmd", "ovs"], rounds)
        row = dict(zip(heads, cells))

        self.assertEqual((row["speed to testpmd"], row["speed to ovs"], row["ovs Mpps"]), ("**1.20**", "-", "-"))

    def test_a_single_peer_goes_without_saying(self):
        heads, cells = self.table(["dptap", "testpmd"], [one_round()])

        self.assertEqual(dict(zip(heads, cells))["speed"], "**1.20**")


class Chart(unittest.TestCase):
    """What is drawn."""

    def rows(self, case, rounds, names):
        """The chart's rows of one case."""
        return chart.make_rows({case: summarise(case, rounds)}, names)

    def test_all_but_testpmd_have_a_bar_and_testpmd_is_their_unit(self):
        row, = self.rows(Case(LOOP, 64), [three_windows()], ["dptap", "testpmd", "ovs"])

        self.assertEqual([(bar.name, bar.speed.median, bar.figure) for bar in row.bars],
                         [("dptap", 1.2, "12.0 Mpps"), ("ovs", 0.6, "6.0 Mpps")])
        self.assertEqual((row.label, row.small), ("loop, 64 B", "testpmd 10.0 Mpps"))

    def test_without_testpmd_the_first_peer_is_the_unit(self):
        row, = self.rows(Case(LOOP, 64), [three_windows()], ["dptap", "other-dptap", "ovs"])

        self.assertEqual([bar.name for bar in row.bars], ["dptap", "ovs"])

    def test_speed_towards_the_nic_is_shown_with_the_cycles_it_follows_from(self):
        row, = self.rows(Case(GUEST_TO_NIC, 64, "packed_vq=1"), [three_windows()], ["dptap", "testpmd", "ovs"])

        self.assertEqual([(bar.speed.median, bar.figure) for bar in row.bars],
                         [(2.0, "50 cycles/packet"), (0.5, "200 cycles/packet")])
        self.assertEqual(row.small, "packed_vq=1\ntestpmd 100 cycles/packet")

    def test_placements_have_rows_of_their_own(self):
        near, far = self.rows(Case(NIC_TO_GUEST, 64), [one_round("far"), one_round("near")], ["dptap", "testpmd"])

        self.assertEqual((near.small, far.small), ("near\ntestpmd 10.0 Mpps", "far\ntestpmd 10.0 Mpps"))

    def test_a_row_in_which_nothing_counted_says_so(self):
        row, = self.rows(Case(NIC_TO_GUEST, 64), [one_round("")], ["dptap", "testpmd"])

        self.assertEqual((row.small, row.bars), ("no round counted", []))

    def test_a_program_that_cannot_do_a_case_has_no_speed(self):
        row, = self.rows(Case(LOOP, 64), [Round("far", three_windows().windows[:2] + [None])],
                         ["dptap", "testpmd", "ovs"])

        self.assertEqual([bar.speed is None for bar in row.bars], [False, True])


WENT = """went: due 1000 late 10 refused 20 sent 970 arrived 969 returned 960 cycles 2000000 gap 2000 hz 2000000000
there: 2000:960 4000:9
back: 4000:960
"""


def a_trial(**changes):
    """Of ten frames, all of which came out, but for what changes."""
    return Trial(**{"due": 10, "late": 0, "refused": 0, "sent": 10, "ended": 10, "seconds": 1.0, "gap": 0.0,
                    "there": [], "back": []} | changes)


class Pacing(unittest.TestCase):
    """What the load that keeps time says."""

    def test_frames_end_where_they_are_sent_back_to_or_else_where_they_arrive(self):
        echoed, one_way = parse_trial(WENT, echo=True), parse_trial(WENT, echo=False)

        self.assertEqual((echoed.ended, echoed.lost, one_way.ended, one_way.lost), (960, 30, 969, 21))
        self.assertEqual((echoed.seconds, echoed.gap, echoed.mpps), (0.001, 1e-6, 0.96))

    def test_cycles_become_microseconds(self):
        self.assertEqual(parse_trial(WENT, echo=True).there, [(1.0, 960), (2.0, 9)])

    def test_a_histogram_may_be_empty(self):
        trial = parse_trial(WENT.replace("back: 4000:960", "back:"), echo=False)

        self.assertEqual((trial.back, percentile(trial.back, 0.5)), ([], None))

    def test_a_percentile_is_the_time_that_this_share_did_not_exceed(self):
        histogram = [(1.0, 500), (2.0, 490), (3.0, 9), (50.0, 1)]

        self.assertEqual([percentile(histogram, share) for share in (0.5, 0.501, 0.99, 0.999, 1)],
                         [1.0, 2.0, 2.0, 3.0, 50.0])

    def test_histograms_of_slices_are_added_up_in_order(self):
        self.assertEqual(merged([[(1.0, 2), (3.0, 1)], [(2.0, 5), (3.0, 4)]]), [(1.0, 2), (2.0, 5), (3.0, 5)])


class LossFreeRate(unittest.TestCase):
    """The search for it."""

    def test_bisection_ends_near_the_highest_rate_without_loss(self):
        search = RateSearch(16.0)
        while not search.is_over:
            search.learn(search.rate <= 5.0)

        self.assertLessEqual(search.low, 5.0)
        self.assertGreater(search.high, 5.0)
        self.assertLess(search.high - search.low, 0.11)

    def test_a_rate_passes_with_enough_slices_without_loss_although_one_was_with(self):
        slices = [(a_trial(ended=9), 0)] + [(a_trial(), 0)] * SLICES

        self.assertEqual(try_rate(slices), (True, False))

    def test_a_rate_fails_by_what_was_refused_lost_or_dropped_by_the_books(self):
        for bad in ((a_trial(refused=1, sent=9, ended=9), 0), (a_trial(ended=9), 0), (a_trial(), 1)):
            self.assertEqual(try_rate([bad] * LOSSES), (False, False))

    def test_it_is_the_load_that_fails_if_frames_were_only_late(self):
        late = (a_trial(late=1, sent=9, ended=9), 0)

        self.assertEqual(try_rate([late] * LOSSES), (False, True))
        self.assertEqual(try_rate([late] * (LOSSES - 1) + [(a_trial(ended=9), 0)]), (False, False))

    def test_too_few_slices_decide_nothing(self):
        self.assertEqual(try_rate([(a_trial(), 0)] * (SLICES - 1)), (None, False))

    def test_each_level_has_a_row_for_each_way(self):
        levels = [Level(share, {"there": [(1.0, 2.0, 3.0)] * 3, "back": [(4.0, 5.0, 6.0)] * 3}) for share in LEVELS]
        rows = rows_of(Case(LOOP, 64), Result("dptap", "near", 5.0, True, levels))

        self.assertEqual(rows[1], [LOOP, "64", "near", "dptap", "≥ 5.00 Mpps", "1%", "NIC → guest → NIC", 3, 0,
                                   "4.0 (4.0..4.0)", "5.0 (5.0..5.0)", "6.0 (6.0..6.0)"])
        self.assertEqual([row[5] for row in rows], ["1%", "1%", "50%", "50%", "90%", "90%"])


class CostOfTheBooks(unittest.TestCase):
    """Of dptap against a build that counts nothing."""

    def test_it_is_what_the_build_without_gains(self):
        rounds = [one_round(subject_mpps=10.0, peer_mpps=10.2, subject_cycles=103.0)]

        cost = {case: books.rows_of(case, summarise(case, rounds))[0][-1]
                for case in (Case(NIC_TO_GUEST, 64), Case(GUEST_TO_NIC, 64))}

        self.assertEqual(list(cost.values()), ["**+2.0 % (+2.0..+2.0)**", "**+3.0 % (+3.0..+3.0)**"])


class ManyGuests(unittest.TestCase):
    """What they cost."""

    def test_what_one_guest_more_adds_is_the_slope_from_few_to_many(self):
        self.assertEqual(per_guest({1: 100.0, 8: 0.0, 64: 1360.0}), 20.0)

    def test_cost_of_a_packet_is_compared_within_rounds(self):
        case = Case(GUEST_TO_NIC, 64)

        cells, = crowd_rows(case, CrowdResult(summarise(case, [three_windows()]), {}))

        self.assertEqual(cells[4:9], ["50.0", "100.0", "200.0", "**2.00 (2.00..2.00)**", "**4.00 (4.00..4.00)**"])

    def test_rounds_are_idle_only_where_the_nic_is_silent(self):
        silent = {count: [Standing([10.0 * count], 100.0 + count)] for count in COUNTS}
        loud = {count: [Standing([], 100.0 + count)] for count in COUNTS}

        self.assertEqual([row[-1] for row in standing_rows({1: CrowdResult([], silent), 2: CrowdResult([], loud)})],
                         ["**10.0**", "**1.00**"])
        self.assertEqual([row[0] for row in standing_rows({2: CrowdResult([], loud)})], ["memory, MB"])

    def test_a_load_is_no_more_guests_than_it_can_be(self):
        self.assertEqual([Case(GUEST_TO_NIC, 64, guests=count).n_busy for count in COUNTS], [1, 8, 32])


class Stages(unittest.TestCase):
    """Cycles of each."""

    def test_windows_of_one_placement_without_disturbance_count(self):
        cycles = dict.fromkeys(stages.STAGES, 2.0)
        looks = [stages.Look("near", 0.0, cycles, 0.5), stages.Look("", 0.0, cycles, 9.0),
                 stages.Look("near", 0.5, dict.fromkeys(stages.STAGES, 9.0), 9.0)]

        row, = stages.rows_of(Case(LOOP, 64), looks)

        self.assertEqual((row[2:5], row[-2:]), (["near", 1, "2.0"], ["**14.0**", "0.50"]))


class Idle(unittest.TestCase):
    """What nothing costs."""

    def test_a_row_tells_shares_in_percent_and_ways_with_their_tail(self):
        found = idle.Found([0.01, 0.03, 0.02], [0.001], [float(us) for us in range(100, 0, -1)])

        row, = idle.rows_of("guests", {"sleep": found})

        self.assertEqual(row, ["guests", "sleep", "**2.00**", "0.10", "50 (100)", report.NONE])

    def test_a_thread_that_ran_is_counted_by_its_name(self):
        before, end = idle.ran_ns(os.getpid()), time.process_time() + 0.05

        while time.process_time() < end:
            pass

        after = idle.ran_ns(os.getpid())
        self.assertGreater(after[1], before[1])
        self.assertEqual((before[0], after[0]), (0, 0))


class Capture(unittest.TestCase):
    """The NIC of bridge mode."""

    def test_frames_are_for_the_guests_in_turn(self):
        file = io.BytesIO()

        write_capture(file, 60, n_frames=3, n_guests=2)

        frames = [file.getvalue()[24 + 16 + number * 76:] for number in range(3)]
        self.assertEqual([frame[5] for frame in frames], [0x11, 0x12, 0x11])

    def test_the_file_holds_as_many_frames_of_that_length_as_asked(self):
        file = io.BytesIO()

        write_capture(file, 60, n_frames=3)

        data = file.getvalue()
        self.assertEqual(len(data), 24 + 3 * (16 + 60))
        self.assertEqual(struct.unpack_from("<IIII", data, 24 + 2 * 76), (0, 0, 60, 60))
        self.assertEqual(data[24 + 16:24 + 22], bytes.fromhex("020000000011"))


if __name__ == "__main__":
    unittest.main()
