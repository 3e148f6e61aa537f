"""Lines for the user: what would steer a terminal is shown."""

from src.progress import say


def test_a_name_steers_no_terminal(capsys):
    say("evil\x1b[2Jname\r\x9b.png, über 😀\ta")
    assert capsys.readouterr().err == "evil\\x1b[2Jname\\r\\x9b.png, über 😀\ta\n"
