"""A group of commands about a job that lists when the job's id comes first: `gfi flags JOB`, `gfi views JOB`."""

import click


class ListByDefault(click.Group):
    """A group with a command `list`, which runs when the first word names no other command."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["list", *args]
        return super().resolve_command(ctx, args)
