"""`holdfast` and `python -m holdfast`."""

import sys


def main() -> None:
    try:
        from holdfast.cli import cli
    except ImportError as error:
        sys.stderr.write(f"holdfast needs {error.name}: pip install 'holdfast[cli]'\n")
        sys.exit(2)
    cli()


if __name__ == "__main__":
    main()
