"""The callbacks of training.

exact_resume            StepSeed, RunningMetrics: a resumed run equals one that was never cut off
float32_validation      ValidateInFloat32: validation at full precision, whatever trainer.precision says
failure_checks          WarnAtChance, WatchLayers: nets that do not learn
finite_numbers          StopWhenNotFinite: losses and weights that are not finite
filter_renormalization  RenormalizeFilters: the paper's limit on the RMS of a filter (section 3)
feature_evolution       FeatureEvolution: what excites the maps after each epoch (section 4.1, Fig. 4), in any Trainer
trainers                what a callback reads of the Trainers of both namespaces of Lightning
epoch_records           RowPerEpoch, FilterPictures, PagePerEpoch, Sessions: metrics.csv, filters, page, seconds
checkpoints             BestCheckpoint, LastCheckpoint

A callback says only when something happens. What it computes is a function in metrics/, models/ or analyses/.
"""
