"""`gfi layers`: the layers of a model and those that the presets choose."""

import click

from gfi.cli.printing import emit, json_option, table


@click.command()
@click.argument("model")
@click.option("--all", "every", is_flag=True, help="Also list layers without a spatial map.")
@json_option
def layers(model: str, every: bool, as_json: bool) -> None:
    """List the layers of a model and those that the presets choose."""
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
            choice = classifier.layer_choice(recipe)
            chosen[name] = {**choice.layers.to_json(), "how": choice.how}
        except MethodError as error:
            chosen[name] = {"error": str(error)}
    if as_json:
        keys = ("name", "type", "shape", "rectified")
        emit(
            {
                "model": model,
                "layers": [dict(zip(keys, layer, strict=True)) for layer in described],
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
    for name, record in chosen.items():
        text = record.get("error") or f"{record['inverted']},{'+'.join(record['weighed'])}  ({record['how']})"
        click.echo(f"{name:<9} {text}")
