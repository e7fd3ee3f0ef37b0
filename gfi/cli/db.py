"""`gfi db`: the database of jobs and results."""

import click


@click.group()
def db() -> None:
    """Upgrade, inspect or rebuild the database."""


@db.command()
@click.option("--bucket", is_flag=True, help="Also create the bucket for results, unless it exists.")
def upgrade(bucket: bool) -> None:
    """Bring the database up to the newest revision."""
    from gfi.store.database import Database, upgrade
    from gfi.store.settings import Settings

    database = Database(Settings.load().require_database())
    click.echo(f"{database.safe_url} is at revision {upgrade(database)}")
    if bucket:
        from gfi.store.objects import Bucket

        Bucket.from_settings(Settings.load()).ensure()
        click.echo(f"bucket {Settings.load().s3_bucket} exists")


@db.command()
def current() -> None:
    """Print the database's revision."""
    from gfi.store.database import Database, current_revision
    from gfi.store.settings import Settings

    database = Database(Settings.load().require_database())
    click.echo(current_revision(database) or "empty: gfi db upgrade")


@db.command()
def rebuild() -> None:
    """Restore the jobs and results of a lost database from the bucket.

    Run `gfi db upgrade` on a new database first. Jobs that the database contains are not changed. A job with missing
    images is restored as paused; `gfi resume JOB` explains the missing ones.
    """
    from gfi.store.database import Database
    from gfi.store.objects import Bucket
    from gfi.store.rebuild import rebuild
    from gfi.store.settings import Settings

    settings = Settings.load().require_stack()
    number = failed = 0
    for job in rebuild(Database(settings.require_database()), Bucket.from_settings(settings)):
        if job.error is not None:
            failed += 1
            click.echo(f"{job.job_id}: not restored: {job.error}")
            continue
        number += 1
        missing = f", {job.missing} missing: gfi resume {job.job_id}" if job.missing else ""
        click.echo(f"{job.job_id}: {job.images} images from {job.parts} parts{missing}")
        for key in job.lost:
            click.echo(f"  missing or damaged: {key}")
    click.echo(f"{number} jobs restored" + (f", {failed} not" if failed else ""))
    if failed:
        raise SystemExit(1)
