"""`gfi layers`: what a preset may use of a network."""

import click

from gfi.cli.printing import emit, table


@click.command()
@click.argument("model")
@click.option("--all", "every", is_flag=True, help="Also layers without a spatial map.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def layers(model: str, every: bool, as_json: bool) -> None:
    """List the layers of MODEL, with those the presets choose."""
    from gfi.domain.errors import MethodError
    from gfi.domain.layer_names import TOKENS
    from gfi.domain.presets import PRESETS
    from gfi.method.classifiers import describe_layers, load
    from gfi.store.settings import Settings

    classifier = load(model, Settings.load().models)
    described = describe_layers(classifier)
    chosen = {}
    for name, recipe in PRESETS.items():
        try:
            found = classifier.chosen(recipe)
            chosen[name] = {**found.layers.to_json(), "how": found.how}
        except MethodError as error:
            chosen[name] = {"error": str(error)}
    if as_json:
        keys = ("name", "type", "shape", "rectified")
        emit(
            {
                "model": model,
                "layers": [dict(zip(keys, each, strict=True)) for each in described],
                "chosen": chosen,
            }
        )
        return
    last = {call.name: call for call in classifier.calls}
    rows = [
        (
            name + TOKENS * last[name].tokens,
            kind,
            "×".join(map(str, shape)),
            "≥ 0" if rectified else "signed",
        )
        for name, kind, shape, rectified in described
        if every or last[name].spatial
    ]
    table(model, ("layer", "type", "output", "values"), rows, "no spatial layer")
    for name, choice in chosen.items():
        text = choice.get("error") or f"{choice['inverted']},{'+'.join(choice['weighed'])}  ({choice['how']})"
        click.echo(f"{name:<9} {text}")
