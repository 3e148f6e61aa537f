"""The app over a small model that knows colours; the tests in a browser have an app of their own."""

import pytest

from tests.webapp.served import make_service, save_color_model, serve


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_color_model(folder)
    return folder


@pytest.fixture(scope="module")
def app(models):
    with serve(make_service(models, "colors")) as served:
        yield served
