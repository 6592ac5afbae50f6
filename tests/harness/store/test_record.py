"""Run records: bytes that give back what was written, or say that they are damaged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes
from hypothesis.extra.numpy import arrays as any_array

from forget512.harness.store.record import ARRAYS, Damaged, RunRecord, decode, failed

LOGITS = any_array(np.float32, array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=6))
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def same(one: RunRecord, other: RunRecord) -> bool:
    """Equal to the last bit, arrays with their shapes and types."""
    for field in dataclasses.fields(RunRecord):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name in ARRAYS:
            if (a.shape, a.dtype, a.tobytes()) != (b.shape, b.dtype, b.tobytes()):
                return False
        elif a != b:
            return False
    return True


@given(
    forget=LOGITS,
    probe=LOGITS,
    texts=st.tuples(st.text(), st.text(), st.text()),
    numbers=st.tuples(NUMBERS, NUMBERS),
    seed=st.integers(0, 2**40),
)
def test_a_record_comes_back_as_it_was(make_record, forget, probe, texts, numbers, seed):
    record = make_record("key", 0)
    record = dataclasses.replace(
        record,
        seed=seed,
        seconds=numbers[0],
        test_accuracy=numbers[1],
        error=texts[0],
        traceback=texts[1],
        output=texts[2],
        forget_logits=forget,
        probe_test_logits=probe,
    )
    assert same(decode(record.encode()), record)


def test_logits_that_are_not_contiguous_come_back_as_they_were(make_record):
    logits = np.arange(24, dtype=np.float32).reshape(4, 6)[:, ::2]
    assert np.array_equal(decode(make_record("key", forget_logits=logits).encode()).forget_logits, logits)


def test_text_that_quotes_the_checksums_place_does_no_harm(make_record):
    record = make_record("key", error='"sha256":"' + "0" * 64 + '"', output='{"__metadata__":{"sha256":"' + "0" * 64)
    assert same(decode(record.encode()), record)


def test_text_with_characters_that_no_encoding_has_can_be_kept(make_record):
    """A file name that is no UTF-8 reaches an error message as a lone surrogate."""
    record = make_record("key", status="failed", error="no such file: b\udcff", traceback="\ud800", output="\udc80")
    assert decode(record.encode()).error.startswith("no such file: b")


def test_a_failure_keeps_the_attempt_and_drops_the_numbers(make_record):
    record = make_record("key", 3, attempt=2, seconds=5.0)
    found = decode(failed(record, "it broke", "line 1\nline 2", "hello").encode())
    assert (found.bank, found.seed, found.attempt, found.status, found.seconds) == ("key", 3, 2, "failed", 5.0)
    assert (found.error, found.traceback, found.output) == ("it broke", "line 1\nline 2", "hello")
    assert found.provenance == record.provenance
    assert found.test_accuracy == 0 and all(getattr(found, name).shape == (0, 0) for name in ARRAYS)


def test_every_truncation_is_found(make_record):
    data = make_record("key").encode()
    for length in range(len(data)):
        with pytest.raises(Damaged):
            decode(data[:length])


def test_every_flipped_bit_is_found(make_record):
    data = bytearray(make_record("key", examples=3, probe_retain_logits=np.zeros((1, 1), np.float32)).encode())
    for place in range(len(data)):
        for bit in (1 << place % 8, 1 << (place + 3) % 8):
            data[place] ^= bit
            with pytest.raises(Damaged):
                decode(bytes(data))
            data[place] ^= bit
    decode(bytes(data))


@pytest.mark.parametrize("tail", [b"\0", b" ", b"more"])
def test_anything_appended_is_found(make_record, tail):
    with pytest.raises(Damaged):
        decode(make_record("key").encode() + tail)


@pytest.mark.parametrize(
    "header",
    [b"[]", b"1", b"null", b"{}", b'{"__metadata__":[]}', b'{"__metadata__":{"sha256":1}}', b"[" * 100_000],
)
def test_other_json_in_the_headers_place_is_no_record(header):
    with pytest.raises(Damaged):
        decode(len(header).to_bytes(8, "little") + header)


def test_two_records_swapped_halves_are_found(make_record):
    one, other = make_record("key", 0).encode(), make_record("key", 1).encode()
    with pytest.raises(Damaged):
        decode(one[: len(one) // 2] + other[len(one) // 2 :])
