"""A local page where a photograph is dropped and explained: ``python -m src.app``."""

import argparse
import sys
import webbrowser

from src.errors import command
from src.files import format_json
from src.model_choice import (
    add_model_arguments,
    check_model_arguments,
    choose_model,
    list_bundles,
)
from src.progress import say
from src.settings import ENGINES, create_parser, quiet_tensorflow

EXAMPLES = """  python -m src.app --open
  python -m src.app --model transfer imagenet --port 8000
  curl --data-binary @photo.jpg http://127.0.0.1:7860/predict
  curl --data-binary @photo.jpg "http://127.0.0.1:7860/explain?method=gradcam&class=cat" """


def _port(text: str) -> int:
    if text.isdecimal() and int(text) < 65536:
        return int(text)
    raise argparse.ArgumentTypeError(f"expected a number from 0 (any that is free) to 65535. Received: {text}")


def _parse(argv):
    parser = create_parser(
        "Serve a page on this machine: drop a photo, see its class and why; and the same as JSON (/openapi.json).",
        EXAMPLES,
    )
    add_model_arguments(parser, several=True)
    parser.add_argument("--port", type=_port, default=7860, help="of the page's address")
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 lets other machines in; whoever reaches them can use it"
    )
    parser.add_argument("--open", action="store_true", help="show it in the browser")
    parser.add_argument("--data", default="data", help="folder with the part test, for the gallery of errors")
    parser.add_argument("--output", default="gradcam", help="folder with the results of src.evaluate, for the same")
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="what computes, as for src.gradcam")
    parser.add_argument("--json", action="store_true", help="print the address and the models as one JSON line")
    arguments = parser.parse_args(argv)
    check_model_arguments(arguments)
    return arguments


def _choose_names(arguments) -> list[str]:
    """The models that are offered, the default first; without --model all bundles, and the one of 1,000 classes."""
    if arguments.model:
        return arguments.model
    there = list_bundles(arguments.models_dir)
    if not there:
        say("No model is trained here yet (python -m src.transfer_model): the page has the one of 1,000 classes.")
        return ["imagenet"]
    first = choose_model(arguments.models_dir)
    return [first, *(name for name in there if name != first), "imagenet"]


@command
def main(argv=None) -> None:
    arguments = _parse(argv)
    from src.webapp.server import address_of, allowed_hosts, create_server, is_private, open_socket

    names = _choose_names(arguments)
    with open_socket(arguments.host, arguments.port) as bound:
        say(f"Loading {names[0]} ...")
        quiet_tensorflow()
        from src.webapp.api import create_api
        from src.webapp.service import Service

        service = Service(names, arguments)
        service.warm_up()
        address = address_of(bound)
        ready = f"Open {address} in a browser; Ctrl-C ends it."
        print(format_json({"address": address, "models": list(service.names)}) if arguments.json else ready, flush=True)
        if not is_private(bound):
            say("Other machines can reach it, too; there is no password.")
        if arguments.open and not webbrowser.open(address):
            say(f"No browser could be started; open {address} yourself.")
        server = create_server(create_api(service, allowed_hosts(bound)))
        server.run(sockets=[bound])


if __name__ == "__main__":
    sys.exit(main())
