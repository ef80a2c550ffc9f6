"""Batches keep the order of the sounds and both limits, and are no smaller than these ask for."""

from hypothesis import given, settings
from hypothesis import strategies as st

from clapgen.audio.batches import MAX_BATCH_SECONDS, batches_of_sounds

MINUTES = st.lists(st.integers(0, 15).map(lambda minutes: 60 * minutes), max_size=30)


@settings(derandomize=True)
@given(MINUTES, st.integers(1, 5))
def test_sounds_keep_their_order_and_batches_both_limits(lengths: list[int], count: int) -> None:
    batches = list(batches_of_sounds(lengths, count, lambda length: length, sample_rate=1))
    assert [length for batch in batches for length in batch] == lengths
    for batch in batches:
        assert 1 <= len(batch) <= count
        assert sum(batch) <= MAX_BATCH_SECONDS or len(batch) == 1
    for batch, following in zip(batches, batches[1:], strict=False):
        assert len(batch) == count or sum(batch) + following[0] > MAX_BATCH_SECONDS


def test_no_sounds_make_no_batch() -> None:
    assert list(batches_of_sounds([], 3, len, 8000)) == []
