"""The names of ImageNet's classes."""

from gfi.domain import imagenet


def test_imagenet_has_a_thousand_names_and_ids() -> None:
    assert len(set(imagenet.wordnet_ids())) == len(imagenet.names()) == 1000
    assert imagenet.classes()[243] == ("n02108422", "bull mastiff")
