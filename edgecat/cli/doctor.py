"""`edgecat doctor`."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check this machine for everything edgecat needs and explain how to fix what is missing.

    Every provider, backend and library is actually started, each in its own process. The last line
    names the form and the backend in which the bundled model is served here. Exit code 0: a model
    can be served here, even if other things are missing; 3: no model can be served.

    Example: `edgecat doctor`
    """
    import sys
    from dataclasses import asdict

    from edgecat.cli.terminal.console import print_json, say
    from edgecat.workflows.serving import check_shipped
    from edgecat_runtime.doctor import can_serve, diagnose
    from edgecat_runtime.errors import GateError

    findings = diagnose()
    if can_serve(findings):  # last: the other checks would disturb its timings
        findings.append(check_shipped())
    if json:
        print_json(
            {"serves": can_serve(findings), "findings": [asdict(finding) for finding in findings]}
        )
    else:
        green, yellow, plain = (
            ("\033[32m", "\033[33m", "\033[0m") if sys.stdout.isatty() else ("", "", "")
        )
        for found in findings:
            mark = f"{green}ok{plain} " if found.ok else f"{yellow}fix{plain}"
            say(f"{mark}  {found.name:<14} {found.value}")
            if found.fix:
                say(f"     {'':<14} -> {found.fix}")
    if not can_serve(findings):
        raise GateError("no model can be served on this machine; see the lines marked fix")
