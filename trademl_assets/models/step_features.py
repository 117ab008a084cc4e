"""The parameter-free first part: streams standardised with the dataset's statistics, books as bands or slot by slot.

Nothing here is trained, so it is computed once for all epochs and members, and kept for all trainings that ask for it.
"""

import hashlib
import json
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.grid.encoding import BOOK_FIELDS
from trademl_assets.models.inputs import StreamInput
from trademl_assets.models.instruments import ReadInstruments
from trademl_assets.models.parameters import DualChannelParameters
from trademl_assets.models.short_term_parameters import BookBands, BookFeature, FlatBook

_VERSION = 1
"""Of the values: raised where the same streams, statistics and choices give others, so that kept ones are made anew."""

_TURNED_FEATURES = frozenset({"imbalance", "distance_imbalance"})
"""Features of a band that change their sign where bids and asks change places."""


class Standardise(nn.Module):
    """scaled = clip((x - center) / scale, -clip, clip).

    Args:
        stream: Statistics of the stream.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, stream: StreamInput) -> None:
        super().__init__()
        self.register_buffer("center", torch.from_numpy(stream.center.copy()))
        self.register_buffer("scale", torch.from_numpy(stream.scale.copy()))
        self.clip = stream.clip

    def forward(self, values: Tensor) -> Tensor:
        """Return float32 of the shape of `values` (..., *stream shape)."""
        return ((values.float() - self.center) / self.scale).clamp(-self.clip, self.clip)


class BandPooling(nn.Module):
    """Pools the slots of a book into bands.

    Args:
        stream: The book stream; its step has shape (slots, assets * 4) with the fields of the grid.
        parameters: Bands and features.
    """

    def __init__(self, stream: StreamInput, parameters: BookBands) -> None:
        super().__init__()
        stream = stream.of_slots(parameters.slots)
        slots, self.assets = stream.shape[0], _assets(stream)
        self.slots = slots
        self.standardise = Standardise(stream)
        self.slots_per_band = min(parameters.slots_per_band, slots)
        self.bands = -(-slots // self.slots_per_band)
        self.padding = self.bands * self.slots_per_band - slots
        self.features: tuple[BookFeature, ...] = parameters.features
        self.width = self.bands * len(self.features)

    def forward(self, book: Tensor) -> Tensor:
        """Return (T, assets, bands * features) float32 of a book (T, slots, assets * 4); 0 where a band is empty."""
        book = book[:, : self.slots]
        by_field = (*book.shape[:2], self.assets, len(BOOK_FIELDS))
        raw = book.reshape(by_field)
        bid_quantity, ask_quantity = BOOK_FIELDS.index("bid_log_quantity"), BOOK_FIELDS.index("ask_log_quantity")
        present = ((raw[..., bid_quantity] > 0) & (raw[..., ask_quantity] > 0)).float()
        scaled = self.standardise(book).reshape(by_field)
        count = self._band_sums(present)
        share = 1.0 / count.clamp(min=1.0)
        pooled: dict[str, Tensor] = {"presence": count / self.slots_per_band}
        pairs = {
            ("imbalance", "depth"): (bid_quantity, ask_quantity),
            ("distance_imbalance", "distance"): (
                BOOK_FIELDS.index("bid_distance_bps"),
                BOOK_FIELDS.index("ask_distance_bps"),
            ),
        }
        for (difference, mean), (bid, ask) in pairs.items():
            if difference in self.features:
                pooled[difference] = self._band_sums((scaled[..., bid] - scaled[..., ask]) * present) * share
            if mean in self.features:
                pooled[mean] = self._band_sums((scaled[..., bid] + scaled[..., ask]) * present) * (share / 2)
        return torch.stack([pooled[name] for name in self.features], dim=-1).flatten(2)

    def mirror(self, other_side: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:  # noqa: ARG002 -- books share one signature
        """Return the place of each of an instrument's features in the mirrored market, and its sign there."""
        signs = np.asarray([-1.0 if name in _TURNED_FEATURES else 1.0 for name in self.features], np.float32)
        return np.arange(self.width), np.tile(signs, self.bands)

    def _band_sums(self, values: Tensor) -> Tensor:
        """(T, slots, assets) -> (T, assets, bands)."""
        padded = nn.functional.pad(values, (0, 0, 0, self.padding)) if self.padding else values
        banded = padded.reshape(len(values), self.bands, self.slots_per_band, self.assets)
        return banded.sum(dim=2).transpose(1, 2)


class FlatSlots(nn.Module):
    """Every slot of a book as it is.

    Args:
        stream: The book stream; its step has shape (slots, assets * 4) with the fields of the grid.
        parameters: Slots that are read.
    """

    def __init__(self, stream: StreamInput, parameters: FlatBook) -> None:
        super().__init__()
        stream = stream.of_slots(parameters.slots)
        self.slots, self.assets = stream.shape[0], _assets(stream)
        self.standardise = Standardise(stream)
        self.width = self.slots * len(BOOK_FIELDS)

    def forward(self, book: Tensor) -> Tensor:
        """Return (T, assets, slots * 4) float32 of a book (T, slots, assets * 4), slot after slot."""
        scaled: Tensor = self.standardise(book[:, : self.slots])
        return scaled.reshape(len(book), self.slots, self.assets, len(BOOK_FIELDS)).transpose(1, 2).flatten(2)

    def mirror(self, other_side: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the place of each of an instrument's features in the mirrored market, and its sign there.

        Args:
            other_side: Of each field of a slot, that of the other side.
        """
        starts = np.arange(self.slots)[:, None] * len(BOOK_FIELDS)
        return (starts + np.asarray(other_side)).reshape(-1), np.ones(self.width, np.float32)


class StepFeatures(nn.Module):
    """All step streams that a network reads: book, price, mask, gathered by instrument.

    Args:
        read: The instruments that are read, with streams and statistics.
        parameters: Which streams are read, and how the book is.

    Raises:
        ConfigError: The dataset lacks a stream.
    """

    def __init__(self, read: ReadInstruments, parameters: DualChannelParameters) -> None:
        super().__init__()
        self.streams = parameters.step_streams
        self.instruments = len(read.inputs.instruments)
        self.stream_widths: dict[str, int] = {}
        self._columns = {name: read.columns(name) for name in self.streams}
        parts: dict[str, nn.Module] = {}
        stated = hashlib.sha256()
        for name in self.streams:
            stream = read.inputs.stream(name)
            stated.update(_stated(name, stream, self._columns[name]))
            if name == "book" and parameters.book is not None:
                book = _read_book(stream, parameters.book)
                parts[name] = book
                self.stream_widths[name] = book.width
            else:
                parts[name] = Standardise(stream)
                self.stream_widths[name] = stream.shape[-1] // self.instruments
        book_choice = None if parameters.book is None else parameters.book.model_dump(mode="json")
        stated.update(json.dumps([_VERSION, book_choice], sort_keys=True).encode())
        self._identity = stated.hexdigest()
        self.parts = nn.ModuleDict(parts)
        self.instrument_width = sum(self.stream_widths.values())
        self.width = self.instruments * self.instrument_width

    def identity(self) -> str:
        """Return the sha256 (hex) of all that the values follow from but the raw streams."""
        return self._identity

    def forward(self, raw: dict[str, Tensor]) -> Tensor:
        """Return (T, width) float32 of raw streams, each (T, ...): all features of an instrument, then the next's."""
        parts = [self.parts[name](self._chosen(name, raw[name])) for name in self.streams]
        by_instrument = [part.reshape(len(part), self.instruments, -1) for part in parts]
        return torch.cat(by_instrument, dim=2).flatten(1)

    def book_mirror(self, other_side: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the place of each of the book's features of an instrument in the mirrored market, and its sign."""
        book = self.parts["book"]
        assert isinstance(book, BandPooling | FlatSlots)  # noqa: S101 -- nothing else reads books
        return book.mirror(other_side)

    def _chosen(self, name: str, values: Tensor) -> Tensor:
        columns = self._columns[name]
        return values if columns is None else values[..., columns]


def _stated(name: str, stream: StreamInput, columns: Tensor | None) -> bytes:
    """Everything that a stream's features follow from but its values, as bytes."""
    facts = [name, stream.shape, stream.columns, stream.clip, None if columns is None else columns.tolist()]
    return json.dumps(facts).encode() + stream.center.tobytes() + stream.scale.tobytes()


def _read_book(stream: StreamInput, parameters: BookBands | FlatBook) -> BandPooling | FlatSlots:
    return FlatSlots(stream, parameters) if isinstance(parameters, FlatBook) else BandPooling(stream, parameters)


def _assets(stream: StreamInput) -> int:
    columns = stream.shape[-1]
    if columns % len(BOOK_FIELDS):
        raise ConfigError(f"a book step has {columns} columns, not a multiple of {len(BOOK_FIELDS)}")
    return columns // len(BOOK_FIELDS)
