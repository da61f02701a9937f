"""Feature evolution (section 4.1, Fig. 4) in any training, without knowing Lightning.

evolution      pictures and numbers of an epoch, from the strongest images of each map
pass_watcher   the search for these images, over passes that something else makes
own_run        the features of job=train
watched_run    those of a training that is not ours, with its net (watched_net) and its run folder (recorded_run)
watch_choice   what is watched: the arguments of FeatureEvolution and watch
loop           watch: for a loop of the user's own; callbacks/feature_evolution.py is for a Trainer of Lightning
"""
