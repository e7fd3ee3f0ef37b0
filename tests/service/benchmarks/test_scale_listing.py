"""The listings of `make bench-scale`, with few keys."""

from pathlib import Path

from benchmarks import scale_listing
from gfi.cli.servers import Server
from tests.servers import S3_ACCESS_KEY, S3_SECRET_KEY


def test_each_listing_has_as_many_keys_as_were_made(tmp_path: Path, s3: Server) -> None:
    csv = scale_listing.listed(scale_listing.csv_file(tmp_path, 50), {})
    (tmp_path / "tar").mkdir()
    tar = scale_listing.listed(scale_listing.tar_shards(tmp_path / "tar", 2 * scale_listing.MEMBERS), {})
    settings = {
        "s3_endpoint": s3.url,
        "s3_bucket": "scale-results",
        "s3_access_key": S3_ACCESS_KEY,
        "s3_secret_key": S3_SECRET_KEY,
    }
    objects = scale_listing.listed(scale_listing.put_objects(settings, 20), settings)
    assert [csv["keys"], tar["keys"], objects["keys"]] == [50, 2 * scale_listing.MEMBERS, 20]
