# SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
# It runs inside a program that is GPL-2.0-only, so whoever gives both away together takes the second one.
"""Starts SecantusDB, MongoDB's double, with one thing added: the index on `_id` is used where MongoDB uses it.

MongoDB has that index on every collection. The double keeps it, in the same order, and uses it for an `_id` alone that is no
document: for a range, a sort, and an `_id` of several fields it reads and decodes the whole collection, so a look at
the end of a log takes longer with each entry, which says nothing about the router. Must never answer
anything else than the double does by itself: only the way to the same documents is another one, and
tests/it/store/double.rs compares the two. Whatever is not plain (another sort, a hint, a collation, bounds that are no whole
numbers, a field that has an index of its own) goes its old way.
"""

import sys
from collections.abc import Iterator, Mapping

import bson
from secantus import storage as double
from secantus.cli import main
from secantus.projection import apply_projection_batch
from secantus.query import matches

_BOUNDS = ("$gt", "$gte", "$lt", "$lte")
_unpatched = double.Storage.find_matching
_keys_of = double._id_point_lookup_keys


def _keys(of) -> list[bytes] | None:
    """The keys of an `_id` that is asked for, also when it is a document of texts; whoever asks compares what is found there.

    Numbers go the old way: inside a document the double's keys tell 1 from 1.0, which are equal."""
    if isinstance(of, Mapping) and of and all(isinstance(of[name], str) and name[:1] != "$" for name in of):
        return [double._id_key(of)]
    return _keys_of(of)


def _range(of) -> tuple[bytes | None, bytes | None] | None:
    """The keys between which the documents lie, both included; None if it isn't plain."""
    if not isinstance(of, Mapping) or not of or any(name not in _BOUNDS for name in of):
        return None
    if any(isinstance(bound, bool) or not isinstance(bound, int) for bound in of.values()):
        return None
    low = [double._id_key(bound) for name, bound in of.items() if name in ("$gt", "$gte")]
    high = [double._id_key(bound) for name, bound in of.items() if name in ("$lt", "$lte")]
    return max(low, default=None), min(high, default=None)


def _walk(store, db: str, coll: str, keys, backward: bool) -> Iterator[bytes]:
    """Documents as they are stored, by `_id`."""
    low, high = keys
    documents = store._cursor_optional(double._doc_table_for(db, coll))
    if documents is None:
        return
    index = store._cursor(double._NAT_SEQ_TABLE)
    # Where the walk begins: the end of this collection's keys, if nothing else is said.
    begin = high if backward else low
    index.set_key(db, coll, begin if begin is not None else (b"\xff" * 16 if backward else b""))
    side = index.search_near()
    if side == double.wt.WT_NOTFOUND:
        return
    if backward:
        found = side <= 0 or index.prev() == 0
    else:
        found = side >= 0 or index.next() == 0
    while found:
        of_db, of_coll, key = index.get_key()
        key = bytes(key)
        if of_db != db or of_coll != coll or (low is not None and key < low) or (high is not None and key > high):
            return
        documents.reset()
        documents.set_key(db, coll, int(index.get_value()))
        if documents.search() == 0:
            yield double._unframe_doc_value(bytes(documents.get_value()))[1]
        found = (index.prev() if backward else index.next()) == 0


def _find(store, db, coll, filter=None, *, skip=0, limit=0, sort=None, projection=None, let=None, **others):
    wanted = dict(filter or {})
    plain = (
        not any(others.values())
        and store._single_sort_spec(sort)[0] == "_id"
        and not any(field.startswith("$") for field in wanted)
        and db not in ("admin", "local", "config")
        and not store._is_timeseries(db, coll)
    )
    keys = (None, None) if "_id" not in wanted else _range(wanted["_id"])
    as_ever = lambda: _unpatched(
        store, db, coll, filter, skip=skip, limit=limit, sort=sort, projection=projection, let=let, **others
    )
    if not plain or keys is None or (keys == (None, None) and limit == 0):
        return as_ever()
    store._refresh_read_snapshot()
    backward = store._single_sort_spec(sort)[1] == -1
    enough = skip + limit if limit else None
    found = []
    with store._lock:
        for field in wanted:
            if field != "_id" and store._find_leading_field_index(db, coll, field, wanted) is not None:
                break
        else:
            for blob in _walk(store, db, coll, keys, backward):
                double._deadline.check()
                document = bson.decode(blob)
                if matches(document, wanted, vars=let):
                    found.append(document)
                    if len(found) == enough:
                        break
            found = found[skip:]
            if projection:
                metas = store._projection_metas(db, coll, found, projection, wanted, sort, None, None)
                found = apply_projection_batch(found, projection, wanted, metas=metas, has_sort=True)
            return found
    return as_ever()


if __name__ == "__main__":
    double.Storage.find_matching = _find
    double._id_point_lookup_keys = _keys
    sys.exit(main())
