"""Archives from elsewhere: tar, tar in parts, and zip, read as streams and never unpacked.

A member that is no plain file or folder inside the archive's own folder is refused.
"""

from __future__ import annotations

from c2lst.archives.members import Limits, first_member, open_member, read_members
from c2lst.archives.stream import archive_parts, is_archive

__all__ = [
    "Limits",
    "archive_parts",
    "first_member",
    "is_archive",
    "open_member",
    "read_members",
]
