# SPDX-License-Identifier: Apache-2.0
"""Tests of the report: python3 e2e/bench/report_test.py"""
import csv
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, HERE)
import spread  # noqa: E402

loader = importlib.machinery.SourceFileLoader("report", os.path.join(HERE, "report"))
report = importlib.util.module_from_spec(importlib.util.spec_from_loader("report", loader))
loader.exec_module(report)


def run(ours, theirs, others_percent=1.0):
    return {"began": "2026-01-02T03:04:05Z", "ended": "2026-01-02T03:14:05Z",
            "machine": {"processors": 2, "processor": "a <fast> one", "memory_mib": 1, "kernel": "k", "file_system": "f",
                        "cgroups": "v2"},
            "options": {"rounds": 8, "warmup": 1, "pods": 2, "density_rounds": 1},
            "sides": [{"name": "a", "runtime": "A 1", "oci_runtime": "r"}, {"name": "b", "runtime": "B 2", "oci_runtime": "r"}],
            "rounds": [{"others_percent": others_percent}], "notes": ["a: something was not there"],
            "metrics": {"pod ready": {"unit": "ms", "more_is_better": False},
                        "rpc/Status": {"unit": "ms", "more_is_better": False}},
            "samples": {"a": {"pod ready": ours, "rpc/Status": [[0, 1.0]]}, "b": {"pod ready": theirs}}}


class Spread(unittest.TestCase):
    def test_quantiles_lie_between_neighbours(self):
        self.assertEqual(spread.quantile([4, 1, 3, 2], 0), 1)
        self.assertEqual(spread.quantile([4, 1, 3, 2], 0.5), 2.5)
        self.assertEqual(spread.quantile([4, 1, 3, 2], 1), 4)
        self.assertAlmostEqual(spread.quantile(list(range(101)), 0.99), 99)
        self.assertEqual(spread.quantile([7], 0.99), 7)

    def test_a_ratio_that_never_varies_has_no_spread(self):
        ratio = spread.Ratio([[n, 5.0] for n in range(8)], [[n, 10.0] for n in range(8)])
        self.assertEqual((ratio.value, ratio.low, ratio.high, ratio.kind), (0.5, 0.5, 0.5, "95 %"))

    def test_the_interval_holds_the_ratio_and_grows_with_noise(self):
        def width(noise):
            ours = [[n, 10 + noise * (n % 3 - 1)] for n in range(12)]
            theirs = [[n, 20 + noise * (n % 5 - 2)] for n in range(12)]
            ratio = spread.Ratio(ours, theirs)
            self.assertLessEqual(ratio.low, ratio.value)
            self.assertGreaterEqual(ratio.high, ratio.value)
            return ratio.high - ratio.low
        self.assertLess(width(0.1), width(3))

    def test_few_rounds_give_the_range_of_the_rounds(self):
        ratio = spread.Ratio([[0, 1.0], [1, 3.0]], [[0, 2.0], [1, 2.0]])
        self.assertEqual((ratio.low, ratio.high, ratio.kind), (0.5, 1.5, "range"))

    def test_rounds_of_one_side_only_do_not_count(self):
        # The peer failed after round 1: what ours did on a busier machine later says nothing about the ratio.
        ratio = spread.Ratio([[0, 1.0], [1, 1.0], [2, 100.0], [3, 100.0], [4, 100.0]], [[0, 2.0], [1, 2.0]])
        self.assertEqual(ratio.value, 0.5)

    def test_nothing_in_common_is_no_ratio(self):
        self.assertIsNone(spread.Ratio([[0, 1.0]], [[1, 1.0]]).value)
        self.assertIsNone(spread.Ratio([[0, 1.0]], [[0, 0.0]]).value)


class Tables(unittest.TestCase):
    ours = [[n, 50.0 + n] for n in range(8)]
    theirs = [[n, 100.0 + 2 * n] for n in range(8)]

    def test_say_load_notes_and_what_one_side_lacks(self):
        text = report.markdown(report.Report(run(self.ours, self.theirs)))
        self.assertIn("a quiet machine", text)
        self.assertIn("| pod ready | 53.5 (51.8–55.2) ms | 107 (104–110) ms | 0.50 (0.50–0.50) |", text)
        self.assertIn("| Status | 1.00 / 1.00 ms | – | – |", text)
        self.assertIn("- a: something was not there", text)
        loaded = report.markdown(report.Report(run(self.ours, self.theirs, others_percent=80)))
        self.assertIn("under load", loaded)

    def test_another_side_can_be_the_base(self):
        text = report.markdown(report.Report(run(self.ours, self.theirs), base="b"))
        self.assertIn("b ÷ a", text)
        self.assertIn("2.00 (2.00–2.00)", text)

    def test_files_can_be_read_by_programs(self):
        made = report.Report(run(self.ours, self.theirs))
        with tempfile.TemporaryDirectory(prefix="berth-test-report-") as out:
            report.write_tsv(made, out + "/table.tsv")
            report.plot(made, out + "/ratios.svg")
            with open(out + "/table.tsv", encoding="utf-8") as file:
                rows = list(csv.DictReader(file, delimiter="\t"))
            row = next(row for row in rows if row["metric"] == "pod ready" and row["side"] == "b")
            self.assertEqual((row["samples"], float(row["median"]), float(row["ratio_base_to_side"])), ("8", 107.0, 0.5))
            drawn = ElementTree.parse(out + "/ratios.svg").getroot()
            self.assertEqual(len(drawn.findall("{http://www.w3.org/2000/svg}circle")), 2)  # legend and one dot

    def test_a_run_without_samples_is_refused(self):
        data = run(self.ours, self.theirs)
        data["samples"] = {}
        with self.assertRaises(SystemExit):
            report.Report(data)


if __name__ == "__main__":
    unittest.main()
