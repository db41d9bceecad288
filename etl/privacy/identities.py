"""The table of raw ids, pseudonyms and numbers, in a folder that only its owner may open."""

import os
from collections.abc import Mapping, Sequence
from functools import reduce
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from conf.contract import ITEM_ID, ITEM_IDX, USER_ID, USER_IDX
from conf.privacy.identities import KIND, LABEL, NUMBER, RAW_ID, SCHEMA
from conf.privacy.keys import Keys
from conf.privacy.protection import Protection
from conf.privacy.sealing import unseal
from conf.workspace.folders import PRIVATE, own_folder, remove
from etl.privacy.pseudonyms import SEALED
from etl.spark.folders import store

_NUMBERS = {USER_ID: ("user", USER_IDX), ITEM_ID: ("item", ITEM_IDX)}


def store_identities(
    staged: Sequence[DataFrame],
    numbered: Mapping[str, DataFrame],
    protection: Protection,
    *,
    scratch: Path,
    folder: Path,
) -> None:
    """Write the table of a dataset if its ids are pseudonyms.

    Args:
        staged: All stored inputs.
        numbered: Ids with their numbers, by the name of the id's column.
        protection: The protection with its keys.
        scratch: Folder for the rows before they are decrypted.
        folder: Where the table is written.
    """
    sealed = sealed_identities(staged, numbered)
    if sealed is not None and protection.keys is not None:
        store(sealed.repartition(1).sortWithinPartitions(KIND, NUMBER), scratch)
        _write(scratch, protection.keys, folder)


def sealed_identities(
    staged: Sequence[DataFrame], numbered: Mapping[str, DataFrame]
) -> DataFrame | None:
    """Return KIND, LABEL, the encrypted raw id as RAW_ID and NUMBER, one row per numbered id.

    Returns None if no ids are pseudonyms.
    """
    frames = []
    for name, (kind, number) in _NUMBERS.items():
        sealed = [frame for frame in staged if SEALED + name in frame.columns]
        if not sealed:
            continue
        pairs = [
            frame.select(name, F.col(SEALED + name).alias(RAW_ID)).where(F.col(RAW_ID).isNotNull())
            for frame in sealed
        ]
        once = reduce(DataFrame.unionByName, pairs).groupBy(name).agg(F.min(RAW_ID).alias(RAW_ID))
        found = once.join(numbered[name].select(name, number), name)
        columns = (
            F.lit(kind).alias(KIND),
            F.col(name).alias(LABEL),
            RAW_ID,
            F.col(number).cast("long").alias(NUMBER),
        )
        frames.append(found.select(*columns))
    return reduce(DataFrame.unionByName, frames) if frames else None


def _write(stored: Path, keys: Keys, folder: Path) -> None:
    """Decrypt the stored rows of `sealed_identities` and write them to one file."""
    cipher = keys.cipher()
    own_folder(folder.parent, PRIVATE)
    remove(folder)
    own_folder(folder, PRIVATE)
    descriptor = os.open(folder / "part-00000.parquet", os.O_WRONLY | os.O_CREAT, 0o600)
    with (
        os.fdopen(descriptor, "wb") as stream,
        pq.ParquetWriter(stream, SCHEMA, write_page_checksum=True) as writer,
    ):
        for path in sorted(stored.glob("*.parquet")):
            for batch in pq.ParquetFile(path).iter_batches():
                columns = batch.to_pydict()
                columns[RAW_ID] = [unseal(cipher, text) for text in columns[RAW_ID]]
                writer.write_table(pa.table(columns, schema=SCHEMA))
