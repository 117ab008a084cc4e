"""Damaged Parquet files of a few bytes that ended the process which read them; now they are typed errors.

Each is a sound file of three rows with one byte of its footer changed. They are read in a process of their own.
"""

import base64
import os
import subprocess
import sys
import zlib
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trademl_assets.foundation.errors import SourceError
from trademl_assets.sources.capped_parquet import ParquetCaps, read_parquet_capped
from trademl_assets.sources.formats.tables import TableCaps, TextConventions, open_table
from trademl_assets_tests.conftest import PROJECT

DAMAGED = {
    "a chunk whose histogram does not fit the schema, which aborts pyarrow": (
        "c-oav%L;-}5FMq4i#r!1UbqVvB?c-PxD&EJkp4hK$VGX(_V}?@eN~^(^l;avVTLoDc~7<3W&~7F5fie5gvuB27EzAgW9>oogLPd7"
        "n+>gz`XH2JGEHQhgO5YAYxgzTK+eqer`mK)3m!@(RS1e4IY*FRo;cv$E!I#Je{CZb-vB(NSfC66nSV9HP%uCg=-M35?I~%rPHJQN"
        "YjA1J(DjF4m8Z)zlS*;PjjiIxJOL9*C#("
    ),
    "a chunk of another repetition than the schema's, which aborts pyarrow": (
        "c-oav%L;-}5FMokapz*h3wPm0F;L0C-Gyq?TKWSKAs6NC+T+Js^;LaB)5Bexh8fOq<~`MVTM&>Ul@hXpgfej8EzWB69!npRAFSsw"
        "*lcKx)CXZTCeuWuB?LG$yLMlb4dh04Fx94OTJTXwA!Cr_iU>h`dE$V7w^(CG{k4sdd;{<lHQR_7koi|5j2#9@LS38Vxjki#)>&;#"
        "e+@6K8M^)uF3NnK7eY!dxv^FJm?tE&C+z"
    ),
    "a chunk of minus four values, for which polars asks for 2 EiB and is aborted": (
        "c-m!A!D_-l5Zy$Zdg#H@Y)Bx79BNQ1R%2}v!NWwPO2sBp@EnaXf;Ey@t^J&ydg!5_*vTrT(1DrZ&71cIc3l`ZXr9Vc9#Vl4LO4tw"
        "GlxkD6{%Q7qKGLR34!Bt*M#y)iwH$UKHDVA*_;wdkRmD4+j@a0s??_UQf9y_)qXyS<1OV8l=#znNgIA$6)$l^5)@TY^$$+{?|A;}"
        "D1CBNBnSn)AVng<6Y>R&$4`@XI*aBnzWmMIX3>lRqn8zHhxpAqVK#aMNTJKR2RAPA`+YVa04)CQv0`TYJDaoe0E|L8ik$&CtoJfM"
        "4CVviKBLHDN5MNvyI$tE04KwJ=ipC9D}YXi$Rjsi`AMpkH-~K$uPfSao}|lotr@jOt*(`)ugg`SnW0@bra?0d1H%kM%Lp2GhH3eA"
        "+c)f17#gAJ&jZ`2D5{DNn&Jn#_^Cfx&}H%"
    ),
}
CAPS = ParquetCaps(rows=1_000, file_bytes=1 << 20)


def read_both_ways(path: Path) -> list[str]:
    """What comes of reading a file as rows of a day and as a table: the message of the refusal, or nothing."""
    told = []
    for read in (
        lambda: read_parquet_capped(path, "here", CAPS, pl.lit(value=True), ["price"]),
        lambda: open_table(path, "here", TableCaps(1_000, 1 << 20, 1.0), TextConventions((), ())).read(
            {"price": None}, None
        ),
    ):
        try:
            read()
            told.append("")
        except SourceError as error:
            told.append(str(error))
    return told


def test_files_that_ended_the_process_are_refused(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.parquet" for number in range(len(DAMAGED))]
    for file, text in zip(files, DAMAGED.values(), strict=True):
        file.write_bytes(zlib.decompress(base64.b85decode(text)))
    code = (
        "import pathlib, sys, trademl_assets_tests.sources.test_capped_parquet as here\n"
        "for name in sys.argv[1:]: print(*here.read_both_ways(pathlib.Path(name)), sep='|', flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, files)],
        check=False,
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env={**os.environ, "POLARS_MAX_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    told = [line.split("|") for line in done.stdout.splitlines()]
    assert [len(messages) for messages in told] == [2] * len(DAMAGED)
    assert all(message.startswith("here: ") for messages in told for message in messages)
    assert "the footer contradicts itself (-4 values" in told[2][0]


@pytest.mark.parametrize("rows", [0, 1, 1_000])
@pytest.mark.parametrize("pages", ["1.0", "2.0"])
def test_sound_files_of_any_writer_are_read(tmp_path: Path, rows: int, pages: str) -> None:
    frame = pl.DataFrame(
        {
            "price": [None if row % 7 == 0 else float(row) for row in range(rows)],
            "name": [["one", "other"][row % 2] for row in range(rows)],
            "bids": [[1.0] * (row % 3) for row in range(rows)],
            "kind": [["rare", "often"][row % 5 > 0] for row in range(rows)],
        },
        schema={
            "price": pl.Float64,
            "name": pl.String,
            "bids": pl.List(pl.Float64),
            "kind": pl.Enum(["rare", *(f"never {number}" for number in range(2_000)), "often"]),
        },
    )
    frame.write_parquet(tmp_path / "polars.parquet", row_group_size=300)
    table: pa.Table = frame.to_arrow()
    pq.write_table(table, tmp_path / "pyarrow.parquet", row_group_size=300, data_page_version=pages)
    for name in ("polars", "pyarrow"):
        read = read_parquet_capped(tmp_path / f"{name}.parquet", "here", CAPS, pl.lit(value=True), frame.columns)
        assert read.equals(frame)
