"""Frame-wise contrast: the truth of frames, the loss against loops, and what gets a gradient."""

import pytest
import torch
from objective_batches import (
    CLIPS,
    FRAME_RATE,
    FRAMES,
    RAIN,
    batch_of,
    clip,
    draw,
    prepared,
    scene_rows,
    sequence,
    some_rows,
)
from torch.nn import functional as F

from clapgen.errors import ClapgenError
from clapgen.scenes import Event, Scene
from pretrain.objectives import BatchRow
from pretrain.objectives.frames import frame_truth


def truth_of(start: float, end: float, frames: int = 6, rate: float = 2.0) -> list[int]:
    """The frames of one sound: frame k is the time k/2 - 1/4 to k/2 + 1/4."""
    return frame_truth(torch.tensor([[0.0, 0.0, start, end]]), 1, 1, frames, rate)[0, :, 0].int().tolist()


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (0.0, 1.0, [1, 1, 1, 0, 0, 0]),  # of frame 0 the half that is in the sound counts; of frame 2, too
        (0.25, 1.25, [0, 1, 1, 0, 0, 0]),
        (0.3, 1.2, [0, 1, 1, 0, 0, 0]),
        (0.55, 0.6, [0, 1, 0, 0, 0, 0]),  # a click
        (0.70, 0.80, [0, 1, 1, 0, 0, 0]),  # a click on the border of two frames
        (0.0, 9.0, [1, 1, 1, 1, 1, 1]),
        (9.0, 9.5, [0, 0, 0, 0, 0, 0]),
    ],
)
def test_frames_in_which_a_sound_is(start, end, frames):
    assert truth_of(start, end) == frames


def test_every_sound_within_the_frames_is_in_at_least_one():
    starts = torch.rand(500, generator=torch.Generator().manual_seed(0)) * 2.4
    for start in starts.tolist():
        assert sum(truth_of(start, start + 0.02)) >= 1


def test_two_events_of_one_query_count_once():
    spans = torch.tensor([[1.0, 2.0, 0.0, 1.0], [1.0, 2.0, 0.5, 2.0], [0.0, 0.0, 2.0, 2.5]])
    truth = frame_truth(spans, 2, 3, 6, 2.0)
    assert truth.shape == (2, 6, 3) and truth.max() == 1
    assert truth[1, :, 2].tolist() == [1, 1, 1, 1, 1, 0] and truth[0, :, 0].sum() == 2 and truth.sum() == 7


def test_the_loss_equals_loops_over_scenes_frames_and_queries():
    objective = prepared("frames")
    batch = batch_of(objective)
    queries, head = batch.extra["queries"], batch.frame_head
    assert len(queries) == 4  # dog, rain, cat, bell: present in some scene, absent in others
    frames = prior = count = 0.0
    for i, row in enumerate(batch.rows[:4]):
        for f in range(FRAMES):
            middle = f / FRAME_RATE
            for k, name in enumerate(["dog", "rain", "cat", "bell"]):
                own = [e for e in row.scene.events if e.label == name]
                inside = sum(min(e.end, middle + 0.25) - max(e.start, middle - 0.25) for e in own)
                z = 1 if inside >= 0.25 else -1
                alpha, beta = head.alpha(queries[k]), head.beta(queries[k])
                frames -= F.logsigmoid(z * (alpha * batch.frames[i, f].dot(queries[k]) + beta))
                prior -= F.logsigmoid(z * beta)
                count += 1
    terms = objective(batch)
    assert count == 4 * FRAMES * 4
    assert terms["frames"].item() == pytest.approx((frames / count).item(), rel=1e-5)
    assert terms["prior"].item() == pytest.approx((prior / count).item(), rel=1e-5)


def test_the_bias_learns_only_how_often_a_sound_is_there():
    objective = prepared("frames")
    batch = batch_of(objective)
    head = batch.frame_head
    batch.extra["queries"].requires_grad_()
    terms = objective(batch)
    terms["frames"].backward(retain_graph=True)
    assert all(p.grad is None or not p.grad.any() for p in head.bias.parameters())
    assert all(p.grad.any() for p in head.log_scale.parameters())
    assert batch.extra["queries"].grad.any()
    batch.extra["queries"].grad = None
    terms["prior"].backward()
    assert batch.extra["queries"].grad is None and all(p.grad.any() for p in head.bias.parameters())


class FreeHead:
    """A head whose biases are numbers of their own."""

    def __init__(self, *log_odds: float) -> None:
        self.log_odds = torch.tensor(log_odds, requires_grad=True)

    def alpha(self, texts):
        return torch.full((len(texts),), 10.0)

    def beta(self, texts):
        return self.log_odds


def test_the_prior_is_best_where_the_bias_is_the_share_of_frames_with_the_sound():
    objective, head = prepared("frames"), FreeHead(0.0, 1.0, -2.0, -8.0)
    batch = batch_of(objective, scene_rows(sequence("dog", "rain"), 0), frame_head=head)
    share = frame_truth(batch.extra["spans"], 2, 4, FRAMES, FRAME_RATE).mean((0, 1))
    assert share.tolist() == [0.5, 0.5, 0.0, 0.0]
    objective(batch)["prior"].backward()
    assert torch.allclose(head.log_odds.grad, (head.log_odds.sigmoid() - share) / 4, atol=1e-6)


def test_frames_that_are_their_sound_cost_less_than_shifted_ones():
    objective = prepared("frames")
    batch = batch_of(objective)
    queries = batch.extra["queries"]
    truth = frame_truth(batch.extra["spans"], 8, 4, FRAMES, FRAME_RATE)
    frames = F.normalize(truth @ queries + 0.01, dim=-1)
    losses = [objective(batch_of(objective, make_frames=lambda f=f: f))["frames"] for f in (frames, frames.roll(4, 1))]
    assert losses[0] < losses[1]


def test_only_scenes_count_and_what_is_not_certain_is_left_out():
    bark, puppy = clip("dog bark"), clip("puppy")
    objective = prepared("frames", clips=[*CLIPS, bark, puppy])
    barking = Scene(2.0, (Event(4, "dog bark", 0.0, 1.0),), "single", ("a dog barks",))
    rows = [BatchRow((bark,), "a dog barks", barking), *scene_rows(sequence("dog", "rain"), 1), BatchRow((RAIN,), "")]
    drawn = draw(objective, rows)
    names = ["dog bark", "dog", "rain", *sorted(["cat", "bell", "puppy"])]
    order = [next(n for n in names if n in query.lower()) for query in drawn["queries"]]
    assert order[:3] == names[:3] and sorted(order[3:]) == names[3:]
    known = {name: drawn["known"][:, order.index(name)].tolist() for name in names}
    assert known["dog bark"] == [True, False, False, False]
    assert known["dog"] == [False, True, True, False] and known["puppy"][1:] == [False, False, False]
    assert known["cat"] == known["bell"] == known["rain"] == [True, True, True, False]


def test_as_many_absent_names_are_asked_for_as_wanted():
    objective = prepared("frames", {"absent": 1})
    drawn = [draw(objective, scene_rows(sequence("dog", "rain"), 0), seed)["queries"] for seed in range(12)]
    assert {len(queries) for queries in drawn} == {3}
    assert {"cat" in queries[2].lower() for queries in drawn} == {True, False}


def test_without_scenes_the_head_has_a_gradient_of_zero_and_without_names_there_is_no_loss():
    objective = prepared("frames")
    batch = batch_of(objective, some_rows()[4:])
    sum(objective(batch).values()).backward()
    assert all(p.grad is not None and not p.grad.any() for p in batch.frame_head.parameters())
    nameless = prepared("frames", clips=[clip(captions=["hum"])])
    assert draw(nameless, some_rows()[4:5]) == {} == nameless(batch)


def test_a_clap_without_a_frame_head_is_told_how_to_get_one():
    with pytest.raises(ClapgenError, match=r"set clap\.frame_head=true"):
        prepared("frames")(batch_of(prepared("frames"), frame_head=None))


def test_frames_are_compared_exactly_under_autocast():
    objective = prepared("frames")
    exact = objective(batch_of(objective))["frames"].item()
    with torch.autocast("cpu", torch.bfloat16):
        assert objective(batch_of(objective))["frames"].item() == pytest.approx(exact, abs=1e-6)
