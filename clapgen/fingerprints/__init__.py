"""Audio fingerprints: which recordings are the same one, at another gain, codec, offset or rate, or with noise."""

from clapgen.fingerprints.duplicates import DuplicateGroup, Member, duplicate_groups, find_duplicates
from clapgen.fingerprints.files import fingerprint_files
from clapgen.fingerprints.fingerprint import Fingerprint, fingerprint, fingerprint_file
from clapgen.fingerprints.index import SAME_RECORDING, FingerprintIndex, Match

__all__ = [
    "SAME_RECORDING",
    "DuplicateGroup",
    "Fingerprint",
    "FingerprintIndex",
    "Match",
    "Member",
    "duplicate_groups",
    "find_duplicates",
    "fingerprint",
    "fingerprint_file",
    "fingerprint_files",
]
