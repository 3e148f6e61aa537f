"""All in one go, from a folder of pictures to a page: ``python -m src.run my_photos``."""

import os
import re
import sys
import webbrowser
from pathlib import Path

from src.errors import EXIT_OK, EXIT_PARTIAL, UserError, command
from src.files import expand_path, format_json
from src.progress import say
from src.settings import create_parser, seed_int, typed_command

RUNS_DIR = "runs"
EXAMPLES = """  python -m src.run my_photos                    my_photos/cat/*.jpg, my_photos/dog/*.heic, ...
  python -m src.run my_photos                    again: goes on after an interruption, takes in new photos
  python -m src.run photos.zip --output results --open
  python -m src.run my_photos --skip-baseline --backbone mobilenet_v2 --json"""
_ARCHIVE = re.compile(r"(\.tar)?\.(zip|tar|tgz|tbz2?|txz|gz|bz2|xz)$", re.IGNORECASE)


def default_output(source: str) -> Path:
    """``runs/<name of the source>``."""
    name = _ARCHIVE.sub("", os.path.basename(os.path.abspath(source)))
    return Path(RUNS_DIR, name or "pictures")


@command
def main(argv=None) -> int:
    parser = create_parser(
        "Split, audit, train two classifiers, judge and explain them, and put it all on one page. Stages that are done "
        "are not done again while their pictures and options stay the same.",
        EXAMPLES,
    )
    parser.add_argument(
        "folder", metavar="FOLDER", help="your pictures: a folder for each class, or names such as cat.0.jpg; or a zip "
        "or tar of them"
    )  # fmt: skip
    parser.add_argument("--output", help="where all of it goes (default: runs/<name of FOLDER>)")
    parser.add_argument("--seed", type=seed_int, default=42, help="of the split and of all that is drawn at random")
    parser.add_argument("--backbone", default="auto", help="the pre-trained network, as of src.transfer_model")
    parser.add_argument("--skip-baseline", action="store_true", help="train no network from scratch to compare with")
    parser.add_argument("--restart", action="store_true", help="do everything anew")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    arguments = parser.parse_args(argv)
    source = str(expand_path(arguments.folder))  # a Path has no slash at its end
    output = expand_path(arguments.output) if arguments.output else default_output(source)
    if not os.path.exists(source):
        raise UserError(f"there is no folder or archive {source}; give the one that your pictures are in")
    from src.running.execute import execute
    from src.running.plan import RunSettings
    from src.running.summary import describe, summarize

    settings = RunSettings(source, output, arguments.seed, arguments.backbone, not arguments.skip_baseline)
    words = [word for word in (sys.argv[1:] if argv is None else argv) if word != "--restart"]
    outcome = execute(settings, typed_command("src.run", words), restart=arguments.restart)
    summary = summarize(settings, outcome)
    print(format_json(summary) if arguments.json else describe(summary))
    if arguments.open and not webbrowser.open(settings.report.absolute().as_uri()):
        say(f"No browser could be started; open {settings.report} yourself.")
    return EXIT_PARTIAL if summary["unreadable"] or outcome.partial else EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
