from c2lst.study.grid import SplitKey, StudySettings
from c2lst.study.pace import Pace
from c2lst.study.shared import Study
from toy import toy_settings


def test_what_a_worker_is_writing_survives_a_look_at_what_is_left(tmp_path):
    """With ``--jobs`` the parent tells how long is left while its workers prepare splits."""
    key, grid = SplitKey("A", "random", 0.5, 0), StudySettings(networks=(), seeds=1)
    study = Study(tmp_path, grid, grid, toy_settings(tmp_path))
    with study.directory(key).stage("split"):
        pass
    partial = study.split_folder(key) / ".central.half"
    partial.mkdir()
    pace = Pace(study, jobs=2)
    pace.note(key)
    assert pace.left([key]) is None  # other stages have not been seen
    assert partial.is_dir()
