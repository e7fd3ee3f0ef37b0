"""Which images of a job have controls."""

from workers.controls import IMAGES, sampled


def test_the_sample_is_a_quarter_of_few_images_and_a_fixed_number_of_many():
    few = sum(sampled("a" * 64, row, 100) for row in range(100))
    many = sum(sampled("a" * 64, row, 20_000) for row in range(20_000))
    assert 15 <= few <= 35
    assert IMAGES / 2 <= many <= 2 * IMAGES


def test_the_sample_follows_from_the_row_and_the_model():
    one = [row for row in range(200) if sampled("a" * 64, row, 200)]
    assert one == [row for row in range(200) if sampled("a" * 64, row, 200)]
    assert one != [row for row in range(200) if sampled("b" * 64, row, 200)]
    assert {row for row in range(200) if sampled("a" * 64, row, 2000)} <= set(one)
