# SPDX-License-Identifier: Apache-2.0
"""Medians, quantiles, and how sure a ratio of two medians is."""
import random
import statistics

RESAMPLINGS = 2000
ENOUGH_ROUNDS = 5  # fewer cannot be resampled in earnest


def quantile(values, share):
    """Linear between the neighbours in rank; `values` in any order, not empty."""
    ranked = sorted(values)
    place = share * (len(ranked) - 1)
    below = int(place)
    above = min(below + 1, len(ranked) - 1)
    return ranked[below] + (ranked[above] - ranked[below]) * (place - below)


def by_round(samples):
    """[[round, value]…] -> {round: [value…]}"""
    rounds = {}
    for number, value in samples:
        rounds.setdefault(number, []).append(value)
    return rounds


def pooled(rounds, numbers):
    return [value for number in numbers for value in rounds[number]]


class Ratio:
    """Median of `ours` over median of `theirs`, and an interval.

    The rounds in which both took their turns are drawn anew with replacement (samples of one round share the
    machine's mood, so single samples are not independent): 95 % of the ratios lie in the interval. With few rounds
    it is the lowest and the highest ratio of a round, and `kind` says so.
    """

    def __init__(self, ours, theirs):
        ours, theirs = by_round(ours), by_round(theirs)
        common = sorted(set(ours) & set(theirs))
        self.value = self._of(ours, theirs, common)
        if self.value is None:
            self.low = self.high = self.kind = None
        elif len(common) < ENOUGH_ROUNDS:
            each = [r for r in (self._of(ours, theirs, [n]) for n in common) if r is not None]
            self.low, self.high, self.kind = min(each), max(each), "range"
        else:
            dice = random.Random(len(common))  # the same file gives the same report
            drawn = [self._of(ours, theirs, dice.choices(common, k=len(common))) for _ in range(RESAMPLINGS)]
            drawn = [ratio for ratio in drawn if ratio is not None]
            self.low, self.high, self.kind = quantile(drawn, 0.025), quantile(drawn, 0.975), "95 %"

    @staticmethod
    def _of(ours, theirs, numbers):
        if not numbers:
            return None
        under = statistics.median(pooled(theirs, numbers))
        return statistics.median(pooled(ours, numbers)) / under if under > 0 else None


class Summary:
    """One metric of one side."""

    def __init__(self, samples):
        values = [value for _, value in samples]
        self.count = len(values)
        self.median = statistics.median(values)
        self.low, self.high = quantile(values, 0.25), quantile(values, 0.75)
        self.p99 = quantile(values, 0.99)
