"""Numbers that say how good something is, and how certain: arrays in, numbers out.

intervals, contrasts      95 % intervals; differences between groups
classification, goals     accuracies; which epoch is best, and what chance reaches
epoch_metrics             measures of an epoch of training, by torchmetrics
multilabel                images of several classes: targets, average precision
linear_probe, folds       linear SVM and softmax on frozen features; which images they learn from (section 5.2)
convergence               when maps and layers settle (section 4.1)
localization              whether the place that matters most lies on the object
papers                    the numbers that the papers print (papers.yaml)

No net, no file of a run and no picture enters this package.
"""
