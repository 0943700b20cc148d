"""Terms of the report, explained once, where they are first read, and gathered at its end."""

from __future__ import annotations

from markupsafe import Markup

from synthlift.spec.results import EQUIVALENCE_LEVEL

TERMS = {
    "arm": "One way of training the classifier: which images, and which recipe.",
    "rival": "An arm without synthetic images that spends the effort otherwise: stronger "
    "augmentation, re-balanced classes, repeated images.",
    "control": "An arm that explains where a difference comes from; it is never recommended.",
    "balanced accuracy": "The share of images recognised, averaged over the classes so that "
    "each class counts the same however many images it has.",
    "95 % interval": "The range of true values that the data are compatible with. If it contains "
    "no difference, the study does not show one.",
    "equivalence interval": f"A {100 * EQUIVALENCE_LEVEL:g} % interval, narrower than the 95 % "
    "one. If all of it lies within the margin on both sides of zero, any difference is too small "
    "to matter.",
    "margin": "The smallest difference worth having, declared before the run.",
    "minimal detectable effect": "The smallest true difference that a study of this size would "
    "find four times out of five. Smaller effects may exist unseen.",
    "percentage point": "The difference between two percentages: from 70 % to 73 % is 3 points.",
    "multiple": "How many synthetic images are trained on: 1 × is one for each real training image "
    "of a class; of targeted arms, 1 × fills the small classes up.",
    "targeted": "Synthetic images go to the small classes only, filling them towards the size of a "
    "larger one.",
    "replicate": "One paired repetition: all arms share training images, starting weights and "
    "order of images.",
    "generator fit": "One training of a generator, on one training set only.",
    "draw": "A training set drawn from a larger pool; every draw has its own generator fits.",
    "test group": "Images that belong together (a patient, a lesion); they are never separated.",
    "locked test set": "Images set aside before anything was fitted, opened only when all models "
    "stand.",
    "Holm-corrected": "Adjusted because many comparisons were made at once.",
    "Wilson interval": "An interval for a share computed from counts alone, sound for small "
    "counts.",
    "confusion matrix": "Each row is a true class; the row shows what the classifier took its "
    "images for.",
    "nearest neighbour": "The training image most similar to a generated one.",
    "copying ratio": "How close generated images lie to training images, compared with how close "
    "new real images lie to them. Below 1 means closer than new real images: a sign of copying.",
    "membership attack": "Telling of an image whether a generator was trained on it, from how well "
    "the generator explains it. 50 % rightly told is guessing: then training images stay private "
    "from this attack.",
    "CAS": "Classification accuracy score: how many held-out real images, evenly over the classes, "
    "a linear classifier gets right that learnt from generated images alone.",
    "GAN-test": "How many generated images a classifier that learnt from real ones takes for the "
    "class that was asked for.",
    "KID": "Kernel distance between generated and held-out real images in a frozen encoder's "
    "features; 0 = none. Only to be compared within this table.",
    "CMMD": "Distance between generated and held-out real images in the embeddings of the CLIP "
    "checkpoint that the study names; the floor is what as many real training images reach.",
    "told apart": "How often a linear classifier tells generated from held-out real images: 50 % "
    "is chance, 100 % a gap between two domains.",
    "image precision": "Share of the generated images that look like some real one.",
    "image recall": "Share of the held-out real images that look like some generated one.",
    "density": "How many held-out real images a generated one is near to; real images reach about "
    "1.",
    "coverage": "Share of the held-out real images with a generated one near them.",
    "calibration": "Whether the stated confidence is right: of the images called with 80 % "
    "confidence, 80 % should be right.",
    "interaction": "Whether synthetic images add more, or less, once the recipe is already good.",
    "exploratory": "Found without the conditions for a verdict; a reason to look again, not to "
    "conclude.",
}


def anchor(term: str) -> str:
    """The id of a term in the glossary section."""
    return "term-" + "".join(c if c.isalnum() else "-" for c in term.lower())


class Glossary:
    """Explains a term at its first use in one report. Final; one per rendering."""

    def __init__(self) -> None:
        self._used: list[str] = []

    def __call__(self, term: str, words: str = "") -> Markup:
        """The term, linked and explained when it is met for the first time.

        Args:
            term: a key of :data:`TERMS`.
            words: what is printed when it differs (plural, capital).
        """
        words = words or term
        meaning = TERMS[term]
        if term in self._used:
            return Markup("{}").format(words)
        self._used.append(term)
        return Markup('<a class="term" href="#{}" title="{}">{}</a>').format(
            anchor(term), meaning, words
        )

    def used(self) -> list[tuple[str, str, str]]:
        """Anchor, term and meaning of everything explained so far, by term."""
        return [(anchor(t), t, TERMS[t]) for t in sorted(self._used, key=str.lower)]
