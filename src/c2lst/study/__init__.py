"""Studies: whether synthetic pairs help, at which ratio, where, and against which controls."""

from c2lst.study.grid import CONTROLS, StudySettings
from c2lst.study.page import is_study, write_study_page
from c2lst.study.running import Outcome, run_study

__all__ = ["CONTROLS", "Outcome", "StudySettings", "is_study", "run_study", "write_study_page"]
