"""The mirrored market: bids for asks, falls for rises. What holds of one side is taken to hold of the other."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trademl_assets.datasets.streams import PRICE_COLUMNS
from trademl_assets.foundation.errors import ConfigError
from trademl_assets.grid.encoding import BOOK_FIELDS
from trademl_assets.models.answers import Answers
from trademl_assets.models.inputs import ModelInputs, StreamInput
from trademl_assets.models.instruments import ReadInstruments
from trademl_assets.models.network import SegmentBatch
from trademl_assets.models.step_features import StepFeatures

_OTHER_SIDE = tuple(
    BOOK_FIELDS.index({"bid": "ask", "ask": "bid"}[side] + rest)
    for side, rest in ((name[:3], name[3:]) for name in BOOK_FIELDS)
)
_TURNED_PRICES = frozenset({"return_over_sigma", "microprice_bps"})
_TURNED_STATISTICS = frozenset({"mean_bps", "skew"})
_TOLERANCE = 1e-9


def symmetric_inputs(inputs: ModelInputs) -> ModelInputs:
    """Return inputs whose statistics are the mirrored market's too: sides share them, what turns has centre zero."""
    streams = dict(inputs.streams)
    if "book" in streams:
        stream = streams["book"]
        streams["book"] = replace(stream, center=_both_sides(stream.center), scale=_both_sides(stream.scale))
    if "price" in streams:
        signs = _price_signs(len(inputs.instruments))
        streams["price"] = _centred(streams["price"], signs)
    if "long_term" in streams:
        stream = streams["long_term"]
        streams["long_term"] = _centred(stream, np.broadcast_to(_statistic_signs(stream), stream.shape))
    return replace(inputs, streams=streams)


class Mirror:
    """Turns segments of a batch into those of the mirrored market.

    Args:
        features: The step features, of symmetric statistics.
        read: The instruments that are read.
        answers: The labels, whose class edges must be symmetric.

    Raises:
        ConfigError: The classes are not cut by the return, or not symmetrically.
    """

    def __init__(self, features: StepFeatures, read: ReadInstruments, answers: Answers) -> None:
        edges = answers.edges_bps()
        if edges is None:
            raise ConfigError(
                "mirrored: the dataset's classes are not cut by the return in bps, and a mirrored return has no class "
                "-> write mirrored: false"
            )
        uneven = (edges + edges.flip(1)).abs() > _TOLERANCE * edges.abs().amax(dim=1, keepdim=True)
        if uneven.any():
            found = edges[uneven.any(dim=1)][0].tolist()
            raise ConfigError(
                f"mirrored: the class edges {found} bps are not symmetric around zero -> give labels.parameters."
                "boundaries that are, such as kind fixed, or write mirrored: false"
            )
        self._edges = edges
        self._answers = answers
        self._order, self._signs = _turned_features(features)
        stream = read.inputs.streams.get("long_term")
        self._statistic_signs = None if stream is None else torch.from_numpy(_statistic_signs(stream))

    def turn(self, batch: SegmentBatch, turned: Tensor) -> SegmentBatch:
        """Return the batch with the segments mirrored of which `turned` (B,) is true."""
        segment = torch.tensor(batch.view_segment, device=turned.device)[batch.decision_view]
        of_decision = turned[segment]
        mirrored = batch.steps[:, :, self._order] * self._signs.to(batch.steps)
        days, decision_day = batch.days, batch.decision_day
        if days is not None and self._statistic_signs is not None:
            days = torch.cat([days, days * self._statistic_signs])
            decision_day = decision_day + of_decision * (len(days) // 2)
        returns = torch.where(of_decision, -batch.returns_bps, batch.returns_bps)
        return replace(
            batch,
            steps=torch.where(turned.to(batch.steps.device)[:, None, None], mirrored, batch.steps),
            days=days,
            decision_day=decision_day,
            returns_bps=returns,
            labels=torch.where(of_decision, self._classes(batch, returns), batch.labels),
        )

    def _classes(self, batch: SegmentBatch, returns: Tensor) -> Tensor:
        asked = self._answers.asked(batch)
        edges = self._edges.expand(len(returns), -1) if asked is None else self._edges[asked.label]
        found: Tensor = torch.searchsorted(edges.contiguous(), returns.double()[:, None], right=True)[:, 0]
        return found


def _turned_features(features: StepFeatures) -> tuple[Tensor, Tensor]:
    """(width,) where each feature of the mirrored market stands in the other, and its sign there."""
    order: list[NDArray[np.int64]] = []
    signs: list[NDArray[np.float32]] = []
    for name in features.streams:
        width = features.stream_widths[name]
        own_order, own_signs = np.arange(width), np.ones(width, np.float32)
        if name == "price":
            own_signs = _price_signs(1)
        elif name == "book":
            own_order, own_signs = features.book_mirror(_OTHER_SIDE)
        order.append(own_order + sum(map(len, order)))
        signs.append(own_signs)
    of_one, signs_of_one = np.concatenate(order), np.concatenate(signs)
    starts = np.arange(features.instruments)[:, None] * features.instrument_width
    tiled = np.tile(signs_of_one, features.instruments).astype(np.float32)
    return torch.from_numpy((starts + of_one).reshape(-1)), torch.from_numpy(tiled)


def _price_signs(instruments: int) -> NDArray[np.float32]:
    signs = [-1.0 if name in _TURNED_PRICES else 1.0 for name in PRICE_COLUMNS]
    return np.tile(np.asarray(signs, np.float32), instruments)


def _statistic_signs(stream: StreamInput) -> NDArray[np.float32]:
    """(statistics, 1)."""
    return np.asarray([[-1.0 if name in _TURNED_STATISTICS else 1.0] for name in stream.columns], np.float32)


def _both_sides(values: NDArray[np.float32]) -> NDArray[np.float32]:
    by_field = values.reshape(len(values), -1, len(BOOK_FIELDS))
    shared = (by_field + by_field[:, :, _OTHER_SIDE]) / 2
    return np.asarray(shared.reshape(values.shape), np.float32)


def _centred(stream: StreamInput, signs: NDArray[np.float32]) -> StreamInput:
    return replace(stream, center=np.where(signs < 0, np.float32(0), stream.center))
