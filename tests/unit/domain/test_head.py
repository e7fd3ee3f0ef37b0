"""The file of a network's last linear layer."""

from pathlib import Path

import numpy as np
import pytest

from gfi.domain.head import Head, read_head, write_head
from gfi.domain.projection import projected

RANDOM = np.random.default_rng(0)


def head(largest: float = 1.0) -> Head:
    return Head("fc", largest * RANDOM.standard_normal((5, 64)), RANDOM.standard_normal(5))


@pytest.mark.parametrize(("largest", "dtype"), [(1.0, np.float16), (1e6, np.float32)])
def test_a_head_is_read_as_it_was_written(tmp_path: Path, largest: float, dtype: type) -> None:
    written = head(largest)
    record = write_head(written, tmp_path / "head.npz")
    assert {name: record[name] for name in ("layer", "classes", "width")} == {
        "layer": "fc",
        "classes": 5,
        "width": 64,
    }
    data = (tmp_path / "head.npz").read_bytes()
    assert len(data) == record["bytes"]
    read = read_head(data, record)
    assert read.weight.dtype == dtype
    np.testing.assert_allclose(read.weight, written.weight, rtol=1e-3, atol=1e-4)
    assert (
        write_head(written, tmp_path / "again.npz") == record
    )  # the same bytes, so the same object in the bucket
    with pytest.raises(ValueError, match="damaged"):
        read_head(data[:-1] + b"x", record)


def test_scores_are_those_of_the_layer_and_of_projected_features_their_estimates() -> None:
    one, features = head(), RANDOM.standard_normal((200, 64))
    logits = one.logits(features)
    np.testing.assert_allclose(logits, features @ one.weight.T + one.bias, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        one.parts(features, 2).sum(1) + one.bias[2], logits[:, 2], rtol=1e-4, atol=1e-4
    )
    kept = np.stack([half for row in features if (half := projected(row)) is not None])
    # The error of z·z' is about |φ| |w| / √256.
    error = (one.logits(kept) - logits).std() / np.linalg.norm(features, axis=1).mean()
    assert error < 1.5 * np.linalg.norm(one.weight, axis=1).mean() / 16
    with pytest.raises(ValueError, match="the head fc reads 64, or 256 projected"):
        one.logits(features[:, :3])
