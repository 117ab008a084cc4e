"""The grid's definition, step by step in plain Python."""

import numpy as np

from trademl_assets_tests.grid.markets import MIDNIGHT_US, SECOND, SLOTS

OBSERVED, FILLED, MISSING = 0, 1, 2


def encode_quantity(quantity, reference):
    """Half precision of the log in double precision of the ratio in single precision."""
    ratio = np.asarray(quantity, np.float32) / np.float32(reference)
    return np.nan_to_num(np.log1p(ratio.astype(np.float64))).astype(np.float16)


def encode_distance(distance):
    """Half precision, nearest, ties to even."""
    return np.nan_to_num(np.asarray(distance, np.float32)).astype(np.float16)


def align_slowly(snapshots, market, parameters):  # noqa: C901 -- one definition, read from top to bottom
    """The definition, step by step in plain Python."""
    steps, cadence = 86_400 // parameters.cadence_seconds, parameters.cadence_seconds
    tolerance, max_gap = parameters.tolerance_milliseconds * 1_000, parameters.max_gap_seconds * SECOND
    width = 4 * len(market)
    book, price = np.zeros((steps, SLOTS, width), np.float16), np.zeros((steps, width), np.float32)
    mask, mid = np.zeros((steps, width), np.float16), np.full((steps, len(market)), np.nan)
    state = np.full((steps, len(market)), MISSING, np.uint8)
    for a, (name, instrument) in enumerate(market.items()):
        rows = snapshots[name].to_dicts() if name in snapshots else []
        times = [int(row["ts"].timestamp() * SECOND) for row in rows]
        previous, at = None, -1
        for k in range(-(parameters.max_gap_seconds // cadence), steps):
            instant = MIDNIGHT_US + k * cadence * SECOND
            while at + 1 < len(times) and times[at + 1] <= instant:
                at += 1
            age = instant - times[at] if at >= 0 else None
            known = age is not None and age <= max_gap
            seen = known and age <= tolerance
            if k >= 0:
                mask[k, 4 * a : 4 * a + 4] = (seen, known and not seen, not known, age / max_gap if known else 1)
            if known and k >= 0:
                row = rows[at]
                state[k, a], mid[k, a] = (OBSERVED if seen else FILLED), row["mid"]
                price[k, 4 * a + 2 : 4 * a + 4] = row["spread_bps"], row["microprice_bps"]
                for field, key in enumerate(("bid_distance_bps", "bid_quantity", "ask_distance_bps", "ask_quantity")):
                    encoded = encode_distance(row[key])
                    if field % 2:
                        encoded = encode_quantity(row[key], instrument.reference_quantity)
                    book[k, :, 4 * a + field] = encoded
            if seen:
                if previous is not None and k >= 0:
                    change = (np.log(rows[at]["mid"]) - np.log(previous[1])) * 1e4
                    price[k, 4 * a : 4 * a + 2] = change, (k - previous[0]) * cadence
                previous = (k, rows[at]["mid"])
    usable = np.zeros(steps, np.uint8)
    for k, states in enumerate(state.tolist()):
        shown = {name for name, seen in zip(market, states, strict=True) if seen != MISSING}
        enough = len(shown) >= parameters.min_assets_required
        usable[k] = enough and shown.issuperset(parameters.required_instruments)
    return {"book": book, "price": price, "mask": mask, "mid": mid, "state": state, "usable": usable}
