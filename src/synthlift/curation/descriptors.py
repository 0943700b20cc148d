"""Descriptors of the built-in filters; no heavy imports."""

from __future__ import annotations

from synthlift.curation.config import (
    ClassAgreementConfig,
    ClipScoreConfig,
    ConfidenceBandConfig,
    DiversityConfig,
    ExactDuplicatesConfig,
    LowContrastConfig,
    NearCopiesConfig,
    OutliersConfig,
    PixelCopiesConfig,
    QualityConfig,
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
PIXEL_COPIES = Descriptor(
    kind="pixel_copies",
    config=PixelCopiesConfig,
    version="1",
    target="synthlift.curation.pixel_copies:PixelCopies",
    summary="rejects images whose pixels follow a training image's, brightness and mirroring aside",
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
CLIP_SCORE = Descriptor(
    kind="clip_score",
    config=ClipScoreConfig,
    version="1",
    target="synthlift.curation.clip_score:ClipScore",
    summary="rejects, class by class, the images that go least with their text, as CLIP sees it",
    needs=frozenset({"reference", "clip"}),
)
CONFIDENCE_BAND = Descriptor(
    kind="confidence_band",
    config=ConfidenceBandConfig,
    version="1",
    target="synthlift.curation.confidence_band:ConfidenceBand",
    summary="rejects images that a classifier believes less, or more, than new real images",
    needs=frozenset({"validation", "scorer"}),
)
OUTLIERS = Descriptor(
    kind="outliers",
    config=OutliersConfig,
    version="2",
    target="synthlift.curation.outliers:Outliers",
    summary="rejects images whose features lie outside those of their class",
    needs=frozenset({"validation"}),
)
LOW_CONTRAST = Descriptor(
    kind="low_contrast",
    config=LowContrastConfig,
    version="1",
    target="synthlift.curation.low_contrast:LowContrast",
    summary="rejects black, white, constant and low-contrast images",
)
QUALITY = Descriptor(
    kind="quality",
    config=QualityConfig,
    version="1",
    target="synthlift.curation.quality:Quality",
    summary="rejects images blurrier, grainier or flatter than the real images of their class",
)
DIVERSITY = Descriptor(
    kind="diversity",
    config=DiversityConfig,
    version="1",
    target="synthlift.curation.diversity:Diversity",
    summary="keeps, class by class, the images that stand for all others",
    needs=frozenset({"company"}),
)
