import pytest

from convscope.report.settling import answer, settled_from, stories


@pytest.mark.parametrize(
    ("stayed", "settled"),
    [
        ([0, 0.2, 0.5, 0.9], 3),  # one half counts
        ([0, 0.9, 0.9, 0.4], None),  # fell again at the end
        ([0, 0.9, 0.3, 0.6], 4),  # only since the last time
        ([0, 0.8, 0.8, 0.8], 2),
        ([], None),
    ],
)
def test_settled_from_is_the_first_epoch_that_holds_to_the_end(stayed, settled):
    assert settled_from(range(1, len(stayed) + 1), stayed) == settled


def test_epochs_that_were_not_measured_are_skipped():
    measured = {"stayed/conv1": [0, None, 0.7, None], "dead/conv1": [0.5, None, 0.25, None]}
    (story,) = stories({"epoch": [1, 2, 3, 4], **measured}, {})
    assert (story.epochs, story.stayed, story.settled, story.dead) == ([1, 3], [0, 0.7], 3, 0.25)


def columns(**stayed):
    return {"epoch": [1, 2, 3, 4]} | {f"stayed/{layer}": values for layer, values in stayed.items()}


def test_answer_names_first_and_last():
    told = stories(columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.9, 0.9, 0.9], conv3=[0, 0.1, 0.9, 0.9]), {})
    assert answer(told) == "conv1 and conv2 settled first, at epoch 2; conv3 settled last, at epoch 3."


def test_answer_says_what_has_not_settled():
    told = stories(columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.1, 0.1, 0.1]), {})
    assert answer(told) == "conv1 settled first, at epoch 2; conv2 has not settled."


def test_answer_admits_a_single_comparison():
    told = stories(columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.1, 0.1, 0.6]), {})
    assert answer(told).endswith("conv2 settled last, at epoch 4 (by the last comparison alone).")


def test_answer_when_all_settle_together_and_when_none_does():
    assert answer(stories(columns(conv1=[0, 0.9, 0.9, 0.9]), {})) == "conv1 settled at epoch 2."
    assert answer(stories(columns(conv1=[0, 0.1, 0.1, 0.1]), {})).startswith("No layer has settled")


def test_dead_maps_are_counted_where_the_number_of_maps_is_known():
    metrics = columns(conv1=[0, 0.9, 0.9, 0.9], conv2=[0, 0.9, 0.9, 0.9], conv3=[0, 0.9, 0.9, 0.9])
    metrics |= {"dead/conv1": [0.5, 0.4, 0.3, 0.25], "dead/conv2": [0.0] * 4, "dead/conv3": [0.1] * 4}
    told = stories(metrics, {"conv1": 96, "conv2": 8})
    assert [story.dead_maps for story in told] == ["24 of 96", "0 of 8", "10 %"]
    assert answer(told).endswith("Dead maps: conv1 (24 of 96) and conv3 (10 %).")


def test_no_dead_maps_is_said_and_one_epoch_has_no_answer():
    metrics = columns(conv1=[0, 0.9, 0.9, 0.9]) | {"dead/conv1": [0.5, 0, 0, 0]}
    assert answer(stories(metrics, {})).endswith("No map is dead: some image excites each of them.")
    assert answer(stories({"epoch": [1], "stayed/conv1": [0.0]}, {})) == ""


def test_an_unfinished_run_has_settled_so_far_and_one_that_has_not_learned_not_at_all():
    told = stories(
        {"epoch": [1, 2, 3], "stayed/conv1": [0.0, 0.9, 0.9], "dead/conv1": [0, 0, 0.25]},
        {"conv1": 8},
        {"conv1": [2, 5]},
    )
    assert answer(told) == "conv1 settled at epoch 2. Dead maps: conv1 (2 of 8: maps 2, 5)."
    assert answer(told, ended=False).startswith("So far: conv1 settled at epoch 2.")
    assert answer(told, learned=False).startswith("The net has not learned, so nothing can be said of what settles.")
