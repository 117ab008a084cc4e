from dataclasses import replace

import numpy as np
import pytest
import torch

from trademl_assets.foundation.errors import ConfigError
from trademl_assets.models.inputs import ModelInputs
from trademl_assets.models.instruments import ReadInstruments
from trademl_assets.models.short_term_parameters import BookBands
from trademl_assets.models.step_features import BandPooling, StepFeatures
from trademl_assets_tests.models.examples import (
    ASSETS,
    SLOTS,
    inputs,
    parameters_of,
    pooled_inputs,
    raw_streams,
    stated,
)


def pooled_by_hand(book: np.ndarray, band: slice, asset: int) -> dict[str, float]:
    source = inputs().streams["book"]
    scaled = np.clip((book - source.center) / source.scale, -source.clip, source.clip)
    bid_distance, bid, ask_distance, ask = (asset * 4 + field for field in range(4))
    slots = [slot for slot in range(*band.indices(SLOTS)) if book[slot, bid] > 0 and book[slot, ask] > 0]
    mean = lambda values: float(np.mean(values)) if slots else 0.0  # noqa: E731 -- a formula
    return {
        "imbalance": mean([scaled[s, bid] - scaled[s, ask] for s in slots]),
        "depth": mean([(scaled[s, bid] + scaled[s, ask]) / 2 for s in slots]),
        "presence": len(slots) / 3,
        "distance_imbalance": mean([scaled[s, bid_distance] - scaled[s, ask_distance] for s in slots]),
        "distance": mean([(scaled[s, bid_distance] + scaled[s, ask_distance]) / 2 for s in slots]),
    }


def test_bands_are_means_over_slots_with_both_sides() -> None:
    book = raw_streams(6, 1)["book"]
    book[3, :3] = 0
    parameters = parameters_of(stated())
    assert isinstance(parameters.book, BookBands)
    found = BandPooling(inputs().streams["book"], parameters.book)(book)
    found = found.reshape(6, ASSETS, 3, len(parameters.book.features))
    for step in range(6):
        for asset in range(ASSETS):
            for band in range(3):
                expected = pooled_by_hand(book[step].float().numpy(), slice(3 * band, 3 * band + 3), asset)
                values = [expected[name] for name in parameters.book.features]
                np.testing.assert_allclose(found[step, asset, band].numpy(), values, atol=1e-5)
    assert (found[3, :, 0] == 0).all()


def test_swapped_sides_change_the_sign_of_imbalance_alone() -> None:
    book = raw_streams(4, 2)["book"]
    swapped = book.reshape(4, SLOTS, ASSETS, 2, 2).flip(3).reshape(4, SLOTS, -1)
    parameters = parameters_of(stated(book__features=["imbalance", "depth"]))
    assert isinstance(parameters.book, BookBands)
    source = inputs().streams["book"]
    sides = source.center.reshape(SLOTS, ASSETS, 2, 2)
    sides[:, :, 1] = sides[:, :, 0]
    scale = source.scale.reshape(SLOTS, ASSETS, 2, 2)
    scale[:, :, 1] = scale[:, :, 0]
    pooling = BandPooling(source, parameters.book)
    one, other = (pooling(each).reshape(4, ASSETS, 3, 2) for each in (book, swapped))
    torch.testing.assert_close(one[..., 0], -other[..., 0])
    torch.testing.assert_close(one[..., 1], other[..., 1])


def test_streams_switched_off_are_not_read() -> None:
    raw = raw_streams(5, 3)
    whole = StepFeatures(ReadInstruments(inputs(), None), parameters_of(stated()))
    price_only = StepFeatures(ReadInstruments(inputs(), None), parameters_of(stated(book=None, mask=False)))
    assert price_only.streams == ("price",)
    assert price_only({"price": raw["price"]}).shape == (5, ASSETS * 5)
    by_asset = whole(raw).reshape(5, ASSETS, -1)
    torch.testing.assert_close(by_asset[:, :, 15:20], price_only(raw).reshape(5, ASSETS, 5))


def test_a_stream_that_the_dataset_lacks_is_refused_by_name() -> None:
    known = inputs()
    lacking = replace(known, streams={name: known.streams[name] for name in ("price", "mask")})
    with pytest.raises(ConfigError, match="'book'"):
        StepFeatures(ReadInstruments(lacking, None), parameters_of(stated()))


def test_inputs_survive_json_exactly() -> None:
    known = pooled_inputs()
    read = ModelInputs.from_json(known.as_json())
    assert replace(read, streams={}) == replace(known, streams={})
    for name, stream in known.streams.items():
        np.testing.assert_array_equal(read.streams[name].center, stream.center)
        np.testing.assert_array_equal(read.streams[name].scale, stream.scale)
        assert (read.streams[name].shape, read.streams[name].columns) == (stream.shape, stream.columns)
        assert (read.streams[name].lookback_steps, read.streams[name].clip) == (stream.lookback_steps, stream.clip)


def test_a_flat_book_is_every_column_standardised_slot_after_slot() -> None:
    raw = raw_streams(5, 4)
    source = inputs().streams["book"]
    scaled = np.clip((raw["book"].float().numpy() - source.center) / source.scale, -source.clip, source.clip)
    made = StepFeatures(ReadInstruments(inputs(), None), parameters_of(stated(book={"kind": "flat", "slots": None})))
    found = made(raw).reshape(5, ASSETS, -1)[:, :, : 4 * SLOTS].numpy()
    for asset in range(ASSETS):
        np.testing.assert_array_equal(found[:, asset], scaled[:, :, 4 * asset : 4 * asset + 4].reshape(5, -1))


@pytest.mark.parametrize("book", [{"kind": "flat"}, {"kind": "bands", "slots_per_band": 2, "features": ["imbalance"]}])
def test_slots_beyond_those_that_are_read_change_nothing(book: dict[str, object]) -> None:
    raw = raw_streams(5, 5)
    deeper = {**raw, "book": raw["book"].clone()}
    deeper["book"][:, 4:] += 1
    made = StepFeatures(ReadInstruments(inputs(), None), parameters_of(stated(book={**book, "slots": 4})))
    torch.testing.assert_close(made(raw), made(deeper), atol=0, rtol=0)
    deeper["book"][:, 3] += 1
    assert not torch.equal(made(raw), made(deeper))
    whole = StepFeatures(ReadInstruments(inputs(), None), parameters_of(stated(book={**book, "slots": 99})))
    assert whole(raw).shape == (5, whole.width)


def test_fewer_instruments_are_read_as_if_the_dataset_had_no_others() -> None:
    raw, known = raw_streams(5, 6), inputs()
    one = {
        "book": raw["book"][..., 4:8],
        "price": raw["price"][:, 5:10],
        "mask": raw["mask"][:, 4:8],
    }
    chosen = ReadInstruments(known, ["FOLLOW"])
    assert chosen.inputs.instruments == ("FOLLOW",)
    assert chosen.inputs.streams["price"].columns == ("p5", "p6", "p7", "p8", "p9")
    assert chosen.inputs.streams["clock"] is known.streams["clock"]
    alone = StepFeatures(ReadInstruments(chosen.inputs, None), parameters_of(stated()))
    torch.testing.assert_close(StepFeatures(chosen, parameters_of(stated()))(raw), alone(one), atol=0, rtol=0)
    turned = StepFeatures(ReadInstruments(known, ["FOLLOW", "LEAD"]), parameters_of(stated()))(raw)
    straight = StepFeatures(ReadInstruments(known, None), parameters_of(stated()))(raw)
    torch.testing.assert_close(turned.reshape(5, 2, -1).flip(1), straight.reshape(5, 2, -1), atol=0, rtol=0)


def test_an_instrument_that_the_dataset_lacks_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"reads the instruments \['THIRD'\], the dataset has \['LEAD', 'FOLLOW'\]"):
        ReadInstruments(inputs(), ["FOLLOW", "THIRD"])
    with pytest.raises(ValueError, match="instruments repeats one"):
        parameters_of(stated(instruments=["LEAD", "LEAD"]))
