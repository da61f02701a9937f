"""Training: a LightningModule, its recipe, and the callbacks that record how features evolve.

job          job=train: everything put together
classifier   the LightningModule
recipe       optimizer, schedule and initial weights (conf/optim); losses: softmax and multilabel
start        initial weights from another net, frozen rows (model.init, model.take, model.freeze)
trainer      Lightning's Trainer and checks of its settings; stop: signals that ask a run to stop
callbacks/   one module for each kind of callback

evolution      feature evolution: pictures and numbers of an epoch, whatever trains the net
pass_watcher   the search for the strongest images over passes that something else makes
own_run        the features of job=train; watched_run: those of a training that is not ours, with its folder
watching       watch: for a loop of the user's own; watch_choice, watched_net: its arguments, and the net in a module
recorded_run   metrics.csv, facts and page of such a training

A callback says only when something happens; what it computes is a function elsewhere. Results go into the record of
the run folder. Only loggers that a foreign Trainer has opened enter here.
"""
