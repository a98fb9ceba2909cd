import logging
import time

from c2lst import progress


def test_a_bar_leaves_a_line_only_if_it_took_a_while(capsys, monkeypatch):
    with progress.progress_bar("at once", 3) as bar:
        bar.advance(3)
    assert "at once" not in capsys.readouterr().err
    monkeypatch.setattr(progress, "BRIEF", 0.01)
    with progress.progress_bar("slowly", 3) as bar:
        time.sleep(0.05)
        bar.advance(3)
    shown = capsys.readouterr().err
    assert "slowly" in shown and "3/3" in shown


def test_a_bar_inside_quietly_is_never_seen(capsys, monkeypatch):
    monkeypatch.setattr(progress, "BRIEF", 0.0)
    with progress.quietly(), progress.progress_bar("inside", 2) as bar:
        bar.advance(2)
    assert "inside" not in capsys.readouterr().err


class Kept(logging.Handler):
    """Keeps messages."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def test_quiet_is_for_those_who_listened_before():
    outside, inside = Kept(), Kept()
    progress.logger.addHandler(outside)
    try:
        with progress.quietly():
            progress.logger.addHandler(inside)
            progress.logger.warning("a cell's own")
        progress.logger.warning("of the study")
    finally:
        progress.logger.removeHandler(outside)
        progress.logger.removeHandler(inside)
    assert outside.messages == ["of the study"]
    assert inside.messages == ["a cell's own", "of the study"]
