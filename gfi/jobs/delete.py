"""Delete a job: first its rows, then its objects.

In this order, because an object without a row is found by the sweep, while a row whose object is gone would be a result
that cannot be shown.
"""

from collections.abc import Iterable

from gfi.store.objects import Bucket


def delete_objects(bucket: Bucket, prefixes: Iterable[str]) -> int:
    """Delete everything below the prefixes of a deleted job. Returns how many objects."""
    return sum(bucket.delete_many(each.key for each in bucket.list(prefix)) for prefix in prefixes)
