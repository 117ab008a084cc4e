"""Moments of many columns in one pass: sums of the powers of what is left after a shift, and their combination.

The shift of a column is one of its own values, v. Then (v - mean)^2 is at most count * variance, so that the sums
cancel by a factor of the count at most: whatever the offset and whichever value it is, about count * 1e-16 of the
result is lost. Unshifted sums lose everything once the offset is large.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class CentralMoments:
    """Sums of the powers of deviations from the mean; every array has the same shape.

    Attributes:
        count: Values, int64.
        mean: Their mean, NaN where there is none.
        second: Sum of squared deviations from the mean; 0 where there is no value.
        third: Sum of cubed deviations.
        fourth: Sum of deviations to the fourth.
    """

    count: NDArray[np.int64]
    mean: NDArray[np.float64]
    second: NDArray[np.float64]
    third: NDArray[np.float64]
    fourth: NDArray[np.float64]

    def combined(self, groups: list[slice]) -> "CentralMoments":
        """Moments of the values of several columns together, by the formulas of Chan and of Pebay.

        Reference: P. Pebay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
        statistical moments", Sandia report SAND2008-6212, section 2.

        Args:
            groups: Slices of the first axis.

        Returns:
            Moments whose first axis has one entry a group.
        """
        return _stacked([self._merged(group) for group in groups])

    def _merged(self, group: slice) -> "CentralMoments":
        count = self.count[group]
        total = count.sum(axis=0)
        known = np.where(count > 0, self.mean[group], 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (count * known).sum(axis=0) / total
        apart = np.where(count > 0, known - np.where(total > 0, mean, 0.0), 0.0)
        second, third = self.second[group], self.third[group]
        return CentralMoments(
            count=total,
            mean=mean,
            second=(second + count * apart**2).sum(axis=0),
            third=(third + 3 * apart * second + count * apart**3).sum(axis=0),
            fourth=(self.fourth[group] + 4 * apart * third + 6 * apart**2 * second + count * apart**4).sum(axis=0),
        )

    def described(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mean, standard deviation, skewness and excess kurtosis, all biased (divided by the count).

        Equal to numpy's mean and std and to `scipy.stats.skew` and `kurtosis` with their defaults, whose rule tells
        constant values up to rounding, where skewness and kurtosis are undefined.

        Returns:
            Four arrays, NaN where undefined.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = self.second / self.count
            varies = variance > (np.finfo(np.float64).eps * self.mean) ** 2
            skew = np.where(varies, self.third / self.count / variance**1.5, np.nan)
            kurtosis = np.where(varies, self.fourth / self.count / variance**2 - 3.0, np.nan)
        return self.mean, np.sqrt(variance), skew, kurtosis


def central_moments(count: NDArray[np.int64], shift: NDArray[np.float64], sums: NDArray[np.float64]) -> CentralMoments:
    """Central moments from sums of powers around a shift.

    Args:
        count: Values of each column, shape (C,).
        shift: What was taken from each value, shape (C,).
        sums: Sums of the powers one to four of what was left, shape (4, C).

    Returns:
        Moments of shape (C,).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        m1, m2, m3, m4 = sums / count
    filled = count > 0
    second = np.maximum(m2 - m1**2, 0.0)
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = np.maximum(m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4, 0.0)
    return CentralMoments(
        count=count,
        mean=np.where(filled, shift + m1, np.nan),
        second=np.where(filled, count * second, 0.0),
        third=np.where(filled, count * third, 0.0),
        fourth=np.where(filled, count * fourth, 0.0),
    )


def _stacked(parts: list[CentralMoments]) -> CentralMoments:
    names = ("count", "mean", "second", "third", "fourth")
    return CentralMoments(**{name: np.stack([getattr(part, name) for part in parts]) for name in names})
