"""Methods that tune a model on the way: their own arithmetic, with answers that are handed to them."""

import json
import re

import numpy as np
import pytest

import made_up_signals as made
from places import GOLDEN, ROOT
from selectit import methods
from selectit.methods import tagcos
from selectit.methods._tuning import choose_farthest
from selectit.methods.delta_loss import DeltaLoss
from selectit.methods.diverse_evol import DiverseEvol
from selectit.methods.forgetting import Forgetting, count_forgotten
from selectit.methods.ifd_pre import take_middle
from selectit.methods.mods import Mods
from selectit.methods.mods_selfnll import ModsSelfnll
from selectit.methods.tagcos import Tagcos, choose_by_cluster
from selectit.numerics.influence import mean_checkpoints
from selectit.signals.arrays import Embeddings, Gradients, Judgements, Rewards, Signals


def rivals(name):
    return json.loads((GOLDEN / "rivals" / f"{name}.json").read_text())


def play(steps, answers):
    """What a method returns that receives these answers, and the rows that each model was tuned on."""
    tuned, answer = [], None
    for following in (*answers, None):
        try:
            wanted = steps.send(answer)
            tuned += [] if wanted.model is None else [wanted.model.rows.tolist()]
        except StopIteration as end:
            return end.value, tuned
        answer = following
    raise AssertionError("it asks for more")


def embeddings(vectors):
    return Embeddings(np.arange(len(vectors)), np.asarray(vectors, np.float32))


# DiverseEvol


@pytest.mark.parametrize("case", ["main", "second_round"])
def test_a_round_of_diverse_evol_as_published(case):
    golden = rivals("diverseevol")
    given = {**golden["main"]["inputs"], **golden[case]["inputs"]}
    vectors = np.array(given["embeddings_float32"], np.float32)
    rows = np.arange(len(vectors))
    picks = choose_farthest(rows, vectors, np.array(given["labeled"]), given["n"])
    assert picks.tolist() == golden[case]["outputs"]["picks_in_order"]


def test_rounds_of_diverse_evol_see_new_vectors():
    """By hand: four rows on a line; in the second round the model has moved one of them far away."""
    signals = Signals(made.rows(4))
    first = made.follow(DiverseEvol(rounds=1).steps(signals, 1), made.content(4))[0]
    drawn = int(first[0])
    others = [row for row in range(4) if row != drawn]
    line, moved = np.zeros((4, 2)), np.zeros((4, 2))
    line[others, 0], moved[others, 0] = (1, 2, 3), (1, 9, 3)
    chosen, tuned = play(DiverseEvol(rounds=2).steps(signals, 3), [embeddings(line), embeddings(moved)])
    assert chosen.tolist() == [drawn, others[2], others[1]]
    assert tuned == [[drawn], [drawn, others[2]]]


def test_diverse_evol_shares_out_its_budget():
    tuned = [len(each.model.rows) for each in DiverseEvol().outline(52_002, 1_100)]
    assert tuned == [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]
    assert [len(each.model.rows) for each in DiverseEvol(rounds=3).outline(50, 10)] == [3, 6, 8]
    assert [len(each.model.rows) for each in DiverseEvol(rounds=10).outline(50, 3)] == [1, 2]


def test_diverse_evol_stops_where_only_copies_are_left():
    signals = Signals(made.rows(5))
    chosen, _ = play(DiverseEvol(rounds=1).steps(signals, 4), [embeddings([[1, 2]] * 5)])
    assert len(chosen) == 2


# MoDS


def test_the_second_k_center_of_mods_starts_from_the_seeds():
    """The published code's order, when its first centres are the seeds and all rows are good and needed."""
    golden = rivals("mods")["kcenter"]
    vectors = np.array(golden["inputs"]["embeddings_float32"], np.float32)
    order = golden["outputs"]["order_including_initial"]
    picks = choose_farthest(np.arange(len(vectors)), vectors, np.array(order[:2]), len(order) - 2)
    assert picks.tolist() == order[2:]


def test_mods_takes_what_is_good_and_what_is_needed():
    """Eight rows on a line. Rows 0 to 5 are good; of the others than the seeds, the tuned model needs 2 and 3 most."""
    signals = Signals(
        made.rows(8),
        {
            "losses": losses([1, 1, 1, 1, 1, 1, 5, 5]),
            "embeddings": embeddings(np.arange(8.0)[:, None]),
        },
    )
    method = ModsSelfnll(seeds=0.5, good=0.75, needed=0.34)
    chosen, ((*seeds,),) = play(method.steps(signals, 4), [losses([1, 1, 4, 3, 1, 1, 9, 9])])
    assert len(seeds) == 2 and {0, 5} & set(seeds)
    assert chosen[:2].tolist() == seeds
    assert set(chosen[2:]) == {2, 3} - set(seeds)


def test_mods_reads_rewards_as_published():
    """The published scripts with a stub of a reward model: what is good, and of it what is needed."""
    golden = rivals("mods")["filters"]
    names = [row["instruction"] for row in golden["inputs"]["rows"]]
    own, answered = (dict(golden["outputs"][f"{kind}_scores"]) for kind in ("quality", "necessity"))
    rewards = np.array([own.get(name, np.nan) for name in names])
    signals = Signals(made.rows(len(names)), {"rewards": Rewards(np.arange(len(names)), rewards)})
    method = Mods(golden["inputs"]["quality_threshold"], golden["inputs"]["necessity_threshold"])
    good = method.find_good(signals)
    assert [names[row] for row in good] == golden["outputs"]["kept_by_quality_in_order"]
    replies = Judgements(np.arange(len(good)), tuple("Yes." for _ in good))
    known = np.array([answered.get(names[row], 9.0) for row in good])  # one failed there, and vanished
    needed, _ = play(method.find_needed(signals, good, None), [replies, Rewards(np.arange(len(good)), known)])
    assert [names[row] for row in needed] == golden["outputs"]["necessary_in_order"]


def losses(means):
    """One token a row."""
    return made.token_losses([[each] for each in means], [[each] for each in means])


# IFD with experience


def test_the_middle_of_a_cluster():
    assert take_middle(np.array([5.0, 1, 3]), 10).tolist() == [0, 1, 2]
    surprise = np.array([9.0, 1, 2, 3, 4, 5, 6, 7, 8])  # quartiles 3 and 7: places 3 to 7
    assert take_middle(surprise, 5).tolist() == [3, 4, 5, 6, 7]
    assert take_middle(surprise, 2).tolist() == [3, 5]
    assert take_middle(np.array([2.0, 2, 2, 2]), 4).tolist() == [0, 1, 2, 3]


# Losses before and after


def test_delta_loss_by_the_specification():
    before, after = [2, 1.5, 3, 1], [1, 1.4, 1.5, 1.2]
    signals = Signals(made.rows(4), {"losses": losses(before)})
    done, _ = play(DeltaLoss(share=1).steps(signals), [losses(after)])
    assert DeltaLoss().score(done) == pytest.approx([1, 0.1, 1.5, -0.2], abs=1e-6)
    assert DeltaLoss("least").score(done) == pytest.approx([-1, -0.1, -1.5, 0.2], abs=1e-6)


def test_delta_loss_is_tuned_on_its_share():
    signals = Signals(made.rows(40), {"losses": losses([1] * 40)})
    _, (tuned,) = play(DeltaLoss(share=0.25).steps(signals), [losses([1] * 40)])
    _, (again,) = play(DeltaLoss(share=0.25, seed=1).steps(signals), [losses([1] * 40)])
    assert len(tuned) == 10 and tuned != again


# TAGCOS


def test_tagcos_chooses_of_each_cluster_its_share():
    """By hand: two clusters of gradients, of six and three rows; a third of each is chosen, nearest to its mean."""
    pytest.importorskip("sklearn")
    angles = np.radians([0, 10, 20, 30, 40, 25, 170, 180, 190])
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    chosen = choose_by_cluster(features, 3, 2, seed=0)
    assert (7 in chosen) and len(chosen) == 3
    assert chosen[chosen < 6][0] == 2  # the mean of the first cluster points to 20.8 degrees


def test_tagcos_weighs_the_directions_at_its_checkpoints_by_their_rates(monkeypatch):
    """By hand: learning rates of 3 and 1, lengths that say nothing, and a row without a gradient."""
    seen = []
    monkeypatch.setattr(
        tagcos, "choose_by_cluster", lambda features, *_: seen.append(features) or np.arange(len(features))
    )
    first, second = [[9, 0], [1, 0], [0, 1], [0, 1], [np.nan, 0]], [[0, 1], [2, 0], [0, 1], [1, 0], [1, 0]]
    method = Tagcos(share=0.4, clusters=2, dimensions=2)
    chosen, (tuned,) = play(method.steps(Signals(made.rows(5)), 2), [gradients([first, second], [3.0, 1.0])])
    assert len(tuned) == 2
    assert seen[0][np.argsort(chosen)].tolist() == [[0.75, 0.25], [1, 0], [0, 1], [0.25, 0.75]]


def test_the_warm_up_of_tagcos():
    (only,) = Tagcos(share=0.1, epochs=2.5, recipe="mine.toml", seed=3).outline(1000, 10)
    model = only.model
    assert (len(model.rows), model.checkpoints, model.recipe, model.seed) == (100, 3, "mine.toml", 3)
    assert only.request.adam and only.passes == 3


@pytest.mark.parametrize("file", ["alpha", "beta"])
def test_the_mean_over_checkpoints_of_the_published_tagcos(file):
    golden = rivals("tagcos")["mean_over_checkpoints"]
    vectors = list(np.array(golden["inputs"]["gradients_float32_by_file_and_checkpoint"][file], np.float32))
    found = mean_checkpoints(vectors, np.array(golden["inputs"]["weights"]))
    np.testing.assert_allclose(found, golden["outputs"][f"{file}_float32"]["values"], atol=1e-6)


def gradients(projected, rates):
    """Of one item a row; (C, rows, D) at checkpoints with these rates."""
    values = np.asarray(projected, np.float16).transpose(1, 0, 2)
    norm, inner = np.ones(values.shape[:2], np.float32), np.zeros((*values.shape[:2], 0), np.float32)
    return Gradients(np.arange(len(values)), norm, values, inner, np.array(rates))


# One's own


def test_the_method_of_the_page(folder):
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "procedures.md").read_text(), re.DOTALL)
    (folder / "mine.py").write_text(code[1])
    method = methods.build("./mine.py:StillHard", {})
    done, tuned = play(method.steps(Signals(made.rows(2))), [losses([1, 3])])
    assert tuned == [[0, 1]]
    assert method.score(done).tolist() == [1, 3]


# Forgetting


def test_what_is_forgotten_is_counted_as_published():
    golden = rivals("grand_el2n")["forgetting"]
    known = np.array(golden["inputs"]["correct_evaluation_by_row"], bool)
    assert count_forgotten(known).tolist() == [float(each) for each in golden["outputs"]]
    assert count_forgotten(np.array([[0, 1, 1, 0, 1, 0, 0, 1]], bool).T).tolist() == [2]


def test_rows_are_known_by_the_first_guesses():
    """Row 0 is known, then not; row 1 always; row 2 never, so it is first."""
    rounds = [ranks([[1, 9], [1, 1], [2, 2]]), ranks([[9, 9], [1, 7], [3, 1000]])]
    signals, tuned = play(Forgetting(rounds=2).steps(Signals(made.rows(3))), rounds)
    assert Forgetting(rounds=2).score(signals).tolist() == [1, 0, 2]
    assert tuned == [[0, 1, 2]] * 2
    assert Forgetting(rounds=2).parts(signals)["accuracy_2"].tolist() == [0, 0.5, 0]


def ranks(rank):
    return made.token_losses(rank, rank, rank=rank)
