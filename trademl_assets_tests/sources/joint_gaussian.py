"""The planted market as one joint Gaussian: an oracle of its best forecasts by plain linear algebra."""

from datetime import timedelta

import numpy as np
from scipy.linalg import expm

from trademl_assets.sources.planted_market import latent_day
from trademl_assets_tests.sources.planted_parameters import FIRST_DAY


class JointGaussian:
    """The market's joint covariance written out over K steps, for conditioning by plain linear algebra.

    Sources of chance are stacked as drifts (K * A), return noises (K * A), persistent and white band noises (K * A * B
    each); everything seen or asked for is a row of weights on them.
    """

    def __init__(self, parameters, total_steps):
        self.parameters, self.steps = parameters, total_steps
        self.count, self.bands = len(parameters.instruments), len(parameters.books.bands)
        self.size = total_steps * self.count * (2 + 2 * self.bands)
        self.days = [
            latent_day(parameters, FIRST_DAY + timedelta(days=d))
            for d in range(total_steps // parameters.steps_per_day)
        ]
        self.covariance = np.zeros((self.size, self.size))
        drifts = total_steps * self.count
        self.covariance[:drifts, :drifts] = self._drift_covariance()
        noise = parameters.drift.noise_correlation
        self.covariance[drifts : 2 * drifts, drifts : 2 * drifts] = np.kron(
            np.eye(total_steps), (1 - noise) * np.eye(self.count) + noise
        )
        slots = np.tile([band.slots for band in parameters.books.bands], self.count)
        variance = parameters.books.slot_noise_sd**2 / slots
        lags = np.abs(np.subtract.outer(np.arange(total_steps), np.arange(total_steps)))
        kept = 0.5 ** (lags * parameters.step_minutes / parameters.books.persistent_half_life_minutes)
        share = parameters.books.persistent_share
        split = 2 * drifts + drifts * self.bands
        self.covariance[2 * drifts : split, 2 * drifts : split] = np.kron(kept, np.diag(share * variance))
        self.covariance[split:, split:] = np.kron(np.eye(total_steps), np.diag((1 - share) * variance))

    def _drift_covariance(self):
        drift = self.parameters.drift
        leader, follower = (np.log(2) / h for h in (drift.leader_half_life_minutes, drift.follower_half_life_minutes))
        generator = -follower * np.eye(self.count)
        generator[0] = 0
        generator[0, 0] = -leader
        generator[1:, 0] = drift.follower_share * follower
        with_leader = drift.follower_share * follower / (leader + follower)
        stationary = np.full((self.count, self.count), drift.follower_share * with_leader)
        stationary[0, :] = stationary[:, 0] = with_leader
        np.fill_diagonal(stationary, 1.0)
        blocks = np.zeros((self.steps, self.count, self.steps, self.count))
        for lag in range(self.steps):
            block = expm(generator * lag * self.parameters.step_minutes) @ stationary * drift.signal**2
            for early in range(self.steps - lag):
                late = early + lag
                blocks[late, :, early], blocks[early, :, late] = block, block.T
        return blocks.reshape(self.steps * self.count, -1)

    def return_row(self, step, i):
        """Weights of the return in bps over the step that begins at `step`."""
        row = np.zeros(self.size)
        day = self.days[step // self.parameters.steps_per_day]
        row[step * self.count + i] = day.step_sigma_bps[i] * day.gate * np.sqrt(self.parameters.step_minutes)
        row[(self.steps + step) * self.count + i] = day.step_sigma_bps[i]
        return row

    def band_row(self, step, i, b):
        row = np.zeros(self.size)
        row[step * self.count + i] = self.parameters.books.bands[b].loading
        at = 2 * self.steps * self.count + (step * self.count + i) * self.bands + b
        row[at] = row[at + self.steps * self.count * self.bands] = 1.0
        return row

    def condition(self, sight, target, step, horizon):
        """Mean and variance of the target's return over the horizon, given all seen up to and with `step`."""
        rows, values = [], []
        for i in range(self.count):
            last, gap = None, np.zeros(self.size)
            for k in range(step + 1):
                day, within = self.days[k // self.parameters.steps_per_day], k % self.parameters.steps_per_day
                gap = gap + (self.return_row(k - 1, i) if k else 0)
                if not day.observed[within, i]:
                    continue
                if sight.returns[i] and last is not None:
                    rows.append(gap)
                    values.append(1e4 * (day.log_mid[within, i] - last))
                last, gap = day.log_mid[within, i], np.zeros(self.size)
                for b in np.flatnonzero(sight.bands[i]):
                    rows.append(self.band_row(k, i, b))
                    values.append(day.bands[within, i, b])
        wanted = sum(self.return_row(k, target) for k in range(step, step + horizon))
        seen = np.array(rows)
        gain = np.linalg.solve(seen @ self.covariance @ seen.T, seen @ self.covariance @ wanted)
        return gain @ np.array(values), wanted @ self.covariance @ wanted - gain @ seen @ self.covariance @ wanted
