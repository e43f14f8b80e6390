"""The command in this process."""

from selectit.cli.main import main


def run(capture, *arguments):
    """(exit code, stdout, stderr) of the command; `capture` is pytest's capsys or capfd."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code
    told = capture.readouterr()
    return code, told.out, told.err
