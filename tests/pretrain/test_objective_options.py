"""Options of objectives: given by name, and refused with one line that says what is possible."""

import pytest
import torch

from clapgen.configuration import load_config
from clapgen.errors import ClapgenError
from pretrain.objectives import OBJECTIVES, create_objective, create_objectives, options_of
from pretrain.objectives.base import cosines
from pretrain.recipe import ClapRecipe


def test_options_reach_the_objective_and_the_others_keep_their_defaults():
    objective = create_objective("modular", {"positives": 2})
    assert (objective.positives, objective.negatives) == (2, create_objective("modular").negatives)
    assert create_objective("hard-negatives", {"beta": 1}).beta == 1  # a whole number is a number
    assert options_of(OBJECTIVES.get("modular")) == {"positives": 3, "negatives": 4}


def test_every_objective_can_be_made_without_options():
    for name in OBJECTIVES:
        assert isinstance(create_objective(name), OBJECTIVES.get(name))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hard-negative", {}, r"unknown objective 'hard-negative'\. Did you mean 'hard-negatives'"),
        ("hard-negatives", {"betta": 1.0}, r"has no option 'betta'\. Did you mean 'beta'\? Options: beta\."),
        ("infonce", {"beta": 1.0}, r"objective 'infonce' has no option 'beta'\. It has no options\."),
        (
            "hard-negatives",
            {"beta": "high"},
            r"option 'beta' of objective 'hard-negatives' must be a number",
        ),
        ("modular", {"positives": 1.5}, r"must be a whole number, not 1\.5"),
        ("modular", {"positives": True}, r"must be a whole number, not True"),
        ("hard-negatives", {"beta": -1.0}, r"objective 'hard-negatives': option 'beta' must be at least 0, not -1"),
        ("hard-negatives", {"beta": float("nan")}, r"must be at least 0, not nan"),
        ("absence", {"share": 1.5}, r"option 'share' must be from 0 to 1, not 1\.5"),
    ],
)
def test_a_wrong_option_is_one_clear_line(name, options, message):
    with pytest.raises(ClapgenError, match=message) as error:
        create_objective(name, options)
    assert "\n" not in str(error.value)


def test_objectives_with_a_weight_get_their_options():
    objectives = create_objectives({"modular": 0.5, "infonce": 0}, {"modular": {"negatives": 1}})
    assert list(objectives) == ["modular"] and objectives["modular"].negatives == 1


@pytest.mark.parametrize(
    ("name", "hint"), [("modula", r"Did you mean 'modular'\?"), ("infonce", r"Give it one with objectives\.infonce")]
)
def test_options_of_an_objective_without_a_weight_are_refused(name, hint):
    with pytest.raises(ClapgenError, match=f"objective_options names '{name}', an objective without a weight. {hint}"):
        create_objectives({"modular": 1, "infonce": 0}, {name: {}})


def test_options_come_from_a_recipe_and_the_command_line(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("objectives: {frames: 1}\nobjective_options: {frames: {absent: 4}, hard-negatives: {beta: 1}}\n")
    recipe = load_config(ClapRecipe, path, ["objectives.hard-negatives=1", "objective_options.hard-negatives.beta=0.5"])
    objectives = create_objectives(recipe.objectives, recipe.objective_options)
    assert objectives["frames"].absent == 4 and objectives["hard-negatives"].beta == 0.5


def test_cosines_are_exact_under_autocast():
    one, other = torch.tensor([[1.0, 0.001]]), torch.tensor([[1.0, 0.0], [0.999, 0.001]])
    with torch.autocast("cpu", torch.bfloat16):
        exact, rounded = cosines(one, other), one @ other.T
    assert not torch.equal(rounded.float(), one @ other.T)
    assert exact.dtype == torch.float32 and torch.equal(exact, one @ other.T)
