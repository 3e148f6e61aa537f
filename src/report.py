"""All that was found on one page: ``python -m src.report``."""

import sys
import webbrowser

from src.errors import command
from src.files import expand_path, format_json
from src.progress import say
from src.settings import create_parser, typed_command

EXAMPLES = """  python -m src.report --open
  python -m src.report --data my_data --models-dir my_models --output my_results"""


@command
def main(argv=None) -> None:
    parser = create_parser(
        "Put data, models, wrong pictures and explanations on one page, report.html, that needs no network.", EXAMPLES
    )
    parser.add_argument("--data", default="data", help="folder with the parts train, val and test")
    parser.add_argument("--models-dir", default="models", help="where the bundles are")
    parser.add_argument(
        "--output", default="gradcam", help="folder with the results, which report.html is written into"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    words = sys.argv[1:] if argv is None else argv
    arguments = parser.parse_args(words)
    data, models_dir, output = map(expand_path, (arguments.data, arguments.models_dir, arguments.output))
    from src.reporting.page import write_report
    from src.reporting.results import read_results

    command_line = typed_command("src.report", [word for word in words if word not in ("--open", "--json")])
    results = read_results(data, models_dir, output)
    path = output / "report.html"
    written = write_report(results, path, command_line)
    for note in results.notes:
        say(note)
    if arguments.json:
        print(format_json({"report": str(path), "models": [model.name for model in results.models]} | written))
    else:
        print(f"Wrote {path} ({written['bytes'] / 1e6:.1f} MB, {written['pictures']} pictures).")
    if arguments.open and not webbrowser.open(path.absolute().as_uri()):
        say(f"No browser could be started; open {path} yourself.")


if __name__ == "__main__":
    sys.exit(main())
