"""The ideas of the paper that a page has a section for, in the paper's order, in words for a newcomer."""

from typing import NamedTuple


class Idea(NamedTuple):
    """One idea. key: the first word of its results' names. link: its name in the page's navigation.

    figure: the figure or table of the paper that shows it. note: what is asked, and how to read the answer.
    """

    key: str
    link: str
    title: str
    figure: str
    note: str


IDEAS = [
    Idea(
        "rules", "Rules", "The same units by three rules", "Fig. 2",
        "What excites a unit, projected back to pixels in three ways that differ only at the ReLUs: the paper's "
        "deconvnet lets pass what is positive on the way down, the gradient what was positive on the way up, guided "
        "back-propagation what is both.",
    ),
    Idea(
        "receptive", "Receptive fields", "How much of the image one unit sees", "Fig. 3",
        "A unit answers to one square of the image, its receptive field: small in the first layer, larger in every "
        "layer after it. The stride is the number of pixels from one unit's square to its neighbor's.",
    ),
    Idea(
        "invariance", "Invariance", "Which changes of an image the net ignores", "Fig. 5",
        "Images are shifted, enlarged and rotated step by step. The curves show how far the features of a layer move "
        "away from those of the unchanged image, and how probable the true class stays. A flat curve: the change does "
        "not matter here. The paper finds upper layers less disturbed by shift and scale, but not by rotation. Pooling "
        "alone gives part of it: an untrained net shows some, too.",
    ),
    Idea(
        "diagnosis", "Diagnosis", "What is wrong inside the net", "Fig. 6",
        "Filters that nothing excites, filters that are copies of one another, grid patterns that too coarse a stride "
        "leaves behind, units that never change: by such signs the paper found its better first layer.",
    ),
    Idea(
        "occlusion", "Occlusion", "What the net looks at", "Fig. 7",
        "A gray square covers one place of the image after another; each point of a map stands for one place of the "
        "square. Where the probability of the true class drops, the net needed what was covered. A net that looks at "
        "the object, not at its surroundings, drops there alone.",
    ),
    Idea(
        "correspondence", "Correspondence", "Which parts correspond between images", "Table 1",
        "The same part, such as the left eye, is covered in several images, and the signs of the features' changes are "
        "compared from image to image: 0 when they all agree. A part that scores lower than random places corresponds. "
        "An untrained net can show this, too: gray over a dark eye changes pixels alike.",
    ),
    Idea(
        "neighbors", "Neighbors", "What the net holds to be alike", "AlexNet 2012, Fig. 4",
        "Validation images with the five classes that the net finds most probable, and the training images whose "
        "features in the last hidden layer are nearest. Neighbors that look alike to us, though their pixels differ, "
        "say that the layer sees what we see.",
    ),
    Idea(
        "overlap", "Overlap", "Which images two sets share", "section 5.2",
        "A net that has seen a test image in training is not tested by it. Every image of one set is laid over every "
        "image of the other, small and in gray: a correlation of 1 is a copy, whatever its brightness and contrast. "
        "Copies that were cropped or turned escape such a search. Look at the pairs on both sides of the threshold.",
    ),
    Idea(
        "check", "Data", "What the images are", "",
        "Every image was read once: which cannot be, which are copies of others, which stand in two classes at once. "
        "An image of val that is in train, too, tests nothing; a class of few images is learned badly.",
    ),
    Idea(
        "evaluation", "Errors", "How often the net is right", "Table 2",
        "Errors are the share of images whose class is not the first guess (top-1), or not among the first five "
        "(top-5), with the interval that so few images leave open. The square shows which classes are taken for "
        "which: all that is off the diagonal is a mistake.",
    ),
    Idea(
        "transfer", "Transfer", "What the features are worth for other images", "Tables 4 to 7, Fig. 9",
        "The net stays as it is; only a linear classifier on the features of one layer learns to tell other images "
        "apart, from few of each class. If deeper layers do better, the net has learned more than its own classes. "
        "A net of random weights beside it shows what the features owe to training.",
    ),
    Idea(
        "sweep", "Tables", "The runs of a sweep beside one another", "Tables 2 and 3",
        "Nets that differ in one thing, trained from scratch: what does it change? Errors are the share of images "
        "whose class is not the first guess (top-1), or not among the first five (top-5). Where the images or sizes "
        "are not the paper's, its numbers cannot be compared with these, only which rows are better than others.",
    ),
    Idea(
        "claims", "Claims", "Which of the paper's claims hold here", "all sections",
        "Each claim of the paper becomes a number measured on this run, with its 95 % interval. Nothing is settled "
        "beforehand: with another net or other images a claim may fail.",
    ),
]  # fmt: skip
REST = Idea("rest", "More", "More", "", "")  # results of no known idea
