"""Training: a LightningModule, its recipe, and the callbacks that record how features evolve.

job          job=train: everything put together
classifier   the LightningModule
recipe       optimizer, schedule and initial weights (conf/optim); losses: softmax and multilabel
start        initial weights from another net, frozen rows (model.init, model.take, model.freeze)
class_names  names of the classes of a finished run, anew from classes.csv
trainer      Lightning's Trainer and checks of its settings; stop: signals that ask a run to stop
loaders      the LightningDataModule
callbacks/   one module for each kind of callback
watching/    feature evolution in any training: ours, a Trainer's, or a loop of the user's own

A callback says only when something happens; what it computes is a function elsewhere. Results go into the record of
the run folder. Only loggers that a foreign Trainer has opened enter here.
"""
