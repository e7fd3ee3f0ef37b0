"""`gfi gc`: deletes result files in the bucket that nothing refers to, and old jobs of schedules."""

import click

from gfi.cli.printing import emit, json_option, when


@click.command()
@click.option("--delete", is_flag=True, help="Delete them. Without this, print what would be deleted.")
@click.option("--older-than", default=3600.0, show_default=True, help="Seconds; keep younger objects.")
@json_option
def gc(delete: bool, older_than: float, as_json: bool) -> None:
    """Find result files in the bucket that nothing refers to, and jobs that their schedules no longer keep.

    A worker that loses its lease during an upload leaves such an orphan. The scheduler deletes them every
    GFI_SWEEP_EVERY_S seconds; this command finds them immediately. A schedule with --keep deletes its old jobs itself
    when one has ended.
    """
    from gfi.cli.home import open_stack
    from gfi.jobs.retention import delete_old_jobs
    from gfi.jobs.sweep import sweep_jobs, sweep_models, sweep_parts
    from gfi.store import queries
    from gfi.store.objects import Bucket

    settings, database = open_stack()
    bucket = Bucket.from_settings(settings)
    retained = delete_old_jobs(database, bucket, dry_run=not delete, actor="gc")
    swept = sweep_parts(database, bucket, safe_age_s=older_than, dry_run=not delete)
    swept.job_files = sweep_jobs(database, bucket, dry_run=not delete)
    swept.model_files = sweep_models(database, bucket, safe_age_s=older_than, dry_run=not delete)
    if as_json:
        emit({**swept.to_json(), "jobs": retained.to_json()})
        return
    click.echo(
        ", ".join(f"{count} {verdict}" for verdict, count in sorted(swept.counts.items())) or "no parts"
    )
    if retained.deleted:
        verb = "deleted" if delete else "would delete"
        click.echo(
            f"{verb} {len(retained.deleted)} old jobs of schedules: {', '.join(retained.deleted[:20])}"
        )
    for job, reason in list(retained.held.items())[:20]:
        click.echo(f"old, kept: job {job}: {reason}")
    for key in swept.unknown:
        click.echo(f"unknown, kept: {key}")
    if swept.counts["orphan"]:
        verb = f"deleted {swept.deleted}" if delete else f"would delete {swept.counts['orphan']}"
        click.echo(f"{verb} orphans, {swept.bytes} bytes" + ("" if delete else ": gfi gc --delete"))
    if swept.job_files:
        verb = "deleted" if delete else "would delete"
        click.echo(f"{verb} {swept.job_files} files that deleted jobs have left")
    if swept.model_files:
        verb = "deleted" if delete else "would delete"
        click.echo(f"{verb} {swept.model_files} files of models that no version needs")
    last = queries.last_sweep(database)
    if last is not None:
        number = (last["result"] or {}).get("deleted", 0)
        click.echo(f"last sweep by the scheduler: {when(last['done_at'])}, {number} orphans deleted")
