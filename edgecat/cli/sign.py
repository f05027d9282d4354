"""`edgecat sign` and `edgecat key`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgecat.cli.options.common import Json
from edgecat.cli.terminal.help import Command, command_group


def sign(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Models to sign.", show_default=False)
    ],
    key: Annotated[Path, typer.Option(help="Private key, from edgecat key new.")],
    output: Annotated[
        Path | None,
        typer.Option(help="Where to write the signed model (default: in its place)."),
    ] = None,
    json: Json = False,
) -> None:
    """Sign models, so that devices with --trust accept them and no others.

    The signature covers the model and its card. It is stored inside an .onnx or .safetensors file,
    which still opens in other tools, and beside an engine (vgg16.trt.sig).

    Example: `edgecat sign vgg16.onnx --key release`
    """
    from edgecat.cli.terminal.console import print_json, say
    from edgecat_runtime.errors import UserError
    from edgecat_runtime.model.signing import read_key, sign_model

    if output is not None and len(models) > 1:
        raise UserError(f"--output is for one model; got {len(models)}. Leave it out")
    private = read_key(key)
    written = [sign_model(model, private, output=output) for model in models]
    if json:
        print_json({"key": private.public.to_line(), "files": list(map(str, written))})
        return
    for path in written:
        say(f"{path}  signed by {private.public}")


key = command_group("key", "Make and show the keys that models are signed with.")


@key.command(cls=Command)
def new(
    file: Annotated[Path, typer.Argument(help="The private key to write, a new file.")],
    name: Annotated[
        str, typer.Option(help="Name in the public key, such as a person or a device.")
    ] = "",
) -> None:
    """Make a key pair: FILE, which stays secret, and FILE.pub, which devices trust.

    Encrypt FILE by setting the environment variable EDGECAT_KEY_PASSPHRASE.

    Example: `edgecat key new release --name "Ada, releases"`
    """
    from edgecat.cli.terminal.console import say
    from edgecat_runtime.model.signing import new_key

    public = new_key(file, name)
    say(f"{file}  private key: keep it secret, and a copy in a safe place")
    say(f"{file}.pub  {public}: give it to devices, as --trust {file}.pub")


@key.command(cls=Command)
def show(
    file: Annotated[Path, typer.Argument(help="A private key, or a file of public keys.")],
    json: Json = False,
) -> None:
    """Show the fingerprints of the keys in a file, and what it revokes.

    Example: `edgecat key show trusted.pub`
    """
    from edgecat.cli.terminal.console import print_json, say
    from edgecat_runtime.model.signing import read_key
    from edgecat_runtime.model.trust import Trust

    if not file.is_dir() and file.is_file() and file.read_bytes().startswith(b"-----BEGIN"):
        keys, revoked = [read_key(file).public], {}
    else:
        trust = Trust.read(file)
        keys = sorted(trust.keys, key=str)
        revoked = {str(key): why for key, why in trust.revoked_keys.items()}
        revoked |= {f"sha256:{model}": why for model, why in trust.revoked_models.items()}
    if json:
        print_json({"keys": [key.to_line() for key in keys], "revoked": revoked})
        return
    for public in keys:
        say(f"{public.to_line()}\n  {public.fingerprint}")
    for what, why in revoked.items():
        say(f"revoked: {what}: {why}")
