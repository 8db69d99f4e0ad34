"""`holdfastd` and `python -m holdfastd`."""

import sys


def main() -> None:
    try:
        from holdfastd.cli import cli
    except ImportError as error:
        sys.stderr.write(f"holdfastd needs {error.name}: pip install 'holdfast[server]'\n")
        sys.exit(2)
    cli()


if __name__ == "__main__":
    main()
