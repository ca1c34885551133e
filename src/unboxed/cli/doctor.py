"""The verb that looks at the installation."""

from __future__ import annotations

from unboxed.cli.output import print_json

__all__ = ["doctor"]

_SIGNS = {"ok": "[green]✓[/green]", "absent": "[dim]·[/dim]", "wrong": "[red]✗[/red]"}


def doctor(json: bool = False) -> None:
    """Say what this installation has, what it lacks, and the command that mends each thing.

    Ends with code 1 when something is wrong; an optional part that is missing is not.

    Args:
        json: print one JSON object instead of a table.
    """
    from unboxed.cli.installation import examine

    findings = examine()
    wrong = [finding for finding in findings if finding.verdict == "wrong"]
    if json:
        print_json({"healthy": not wrong, "findings": [finding.to_dict() for finding in findings]})
    else:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table("", "", "found", box=None, padding=(0, 2, 0, 0), header_style="dim")
        group = ""
        for finding in findings:
            if finding.group != group:
                table.add_row("", f"[bold]{finding.group}[/bold]")
                group = finding.group
            table.add_row(_SIGNS[finding.verdict], finding.name, escape(finding.value))
        console = Console()
        console.print(table)
        console.print(f"\n{len(wrong)} wrong." if wrong else "\nNothing is wrong.", style="bold")
        for label, verdict in (("To mend it", "wrong"), ("To add what is missing", "absent")):
            mends = [finding for finding in findings if finding.verdict == verdict and finding.mend]
            if mends:
                console.print(f"{label}:")
            for finding in mends:  # never broken: a command is there to be copied
                console.print(f"  {finding.name}: [bold]{escape(finding.mend)}[/bold]", soft_wrap=True, highlight=False)
    if wrong:
        raise SystemExit(1)
