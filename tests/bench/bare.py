"""The smallest Typer programs that do what rjob's verbs are measured against."""

import typer

app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=False)

COLUMNS = ["Id", "Name", "State", "Exit", "More", "Began", "Took", "Location", "Command"]


@app.command()
def get(all: bool = False) -> None:
    """Print a table as long as the one that rjob prints."""
    from tabulate import tabulate

    row = ["Job", "Completed", 0, "yes", "09:09:04", "1.0s", "localhost", "make -C src all test"]
    print(tabulate([[number, *row] for number in range(1, 101)], headers=COLUMNS, tablefmt="plain"))


@app.command()
def start() -> None:
    """Spawn a shell."""
    import subprocess

    subprocess.Popen(["sh", "-c", "true"], start_new_session=True)
    print("Job 1 started: true")


if __name__ == "__main__":
    app()
