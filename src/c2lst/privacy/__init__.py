"""What may leave the institution, and how it is shown to be safe (paper §2; the audit is ours).

An audit attacks an adapter or synthetic pairs the way an outsider could; a bundle holds what may
leave, with the audit in it.
"""

from c2lst.privacy.attacks import audit as audit
from c2lst.privacy.audit import PrivacyAudit as PrivacyAudit
from c2lst.privacy.bundle import open_bundle as open_bundle
from c2lst.privacy.exporting import export as export
