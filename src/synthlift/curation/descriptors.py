"""Descriptors of the built-in filters; no heavy imports."""

from __future__ import annotations

from synthlift.curation.config import (
    ClassAgreementConfig,
    ExactDuplicatesConfig,
    NearCopiesConfig,
)
from synthlift.registry import Descriptor

EXACT_DUPLICATES = Descriptor(
    kind="exact_duplicates",
    config=ExactDuplicatesConfig,
    version="1",
    target="synthlift.curation.exact_duplicates:ExactDuplicates",
    summary="rejects images whose pixels equal a training image's",
)
NEAR_COPIES = Descriptor(
    kind="near_copies",
    config=NearCopiesConfig,
    version="1",
    target="synthlift.curation.near_copies:NearCopies",
    summary="rejects images closer to a training image than new real images are",
    needs=frozenset({"validation"}),
)
CLASS_AGREEMENT = Descriptor(
    kind="class_agreement",
    config=ClassAgreementConfig,
    version="1",
    target="synthlift.curation.class_agreement:ClassAgreement",
    summary="rejects, class by class, the images that a classifier believes least",
    needs=frozenset({"reference", "scorer"}),
)
