import logging

from c2lst.progress import logger, quietly


class Kept(logging.Handler):
    """Keeps messages."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def test_quiet_is_for_those_who_listened_before():
    outside, inside = Kept(), Kept()
    logger.addHandler(outside)
    try:
        with quietly():
            logger.addHandler(inside)
            logger.warning("a cell's own")
        logger.warning("of the study")
    finally:
        logger.removeHandler(outside)
        logger.removeHandler(inside)
    assert outside.messages == ["of the study"]
    assert inside.messages == ["a cell's own", "of the study"]
