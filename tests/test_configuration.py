"""YAML and the command line fill dataclasses; a mistake is named, with its fix."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest

from clapgen.configuration import load_config, recipe_path, save_config, to_dict
from clapgen.errors import ClapgenError


@dataclass
class Optimizer:
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.95)


@dataclass
class Recipe:
    name: str
    steps: int = 100
    seconds: float | None = None
    layers: list[int] = field(default_factory=lambda: [1, 2])
    weights: dict[str, float] = field(default_factory=dict)
    optimizer: Optimizer = field(default_factory=Optimizer)
    second: Optimizer | None = None


def test_defaults_then_file_then_command_line(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: rain\nsteps: 7\noptimizer:\n  learning_rate: 3e-4\n")
    assert load_config(Recipe, path) == Recipe("rain", steps=7, optimizer=Optimizer(3e-4))
    overridden = load_config(
        Recipe, path, ["steps=9", "optimizer.betas=[0.5,0.6]", "weights.mel=2", "second.learning_rate=1", "seconds=2.5"]
    )
    assert overridden == Recipe(
        "rain", 9, 2.5, weights={"mel": 2.0}, optimizer=Optimizer(3e-4, (0.5, 0.6)), second=Optimizer(1.0)
    )


@dataclass
class Words:
    precision: str = "bf16"
    normalise: bool = True
    names: list[str] = field(default_factory=list)


def test_no_is_a_word_where_a_word_is_wanted(tmp_path):
    wanted = Words("no", False, ["off", "on"])
    path = tmp_path / "recipe.yaml"
    path.write_text("precision: no\nnormalise: no\nnames: [off, on]\n")
    assert load_config(Words, path) == wanted
    assert load_config(Words, None, ["precision=no", "normalise=no", "names=[off,on]"]) == wanted
    assert load_config(Words, None, ["normalise=false"]) == Words(normalise=False)
    save_config(wanted, path)
    assert load_config(Words, path) == wanted


@dataclass
class Renamed:
    RENAMED_KEYS: ClassVar[dict[str, str]] = {"rate": "optimizer.learning_rate", "mel": "weights.mel"}

    weights: dict[str, float] = field(default_factory=dict)
    optimizer: Optimizer = field(default_factory=Optimizer)


@dataclass
class Outer:
    inner: Renamed = field(default_factory=Renamed)


@pytest.mark.parametrize(
    ("cls", "override", "hint"),
    [
        (Renamed, "rate=3", "unknown key 'rate'. It is now 'optimizer.learning_rate'"),
        (Renamed, "mel=3", "It is now 'weights.mel'"),
        (Outer, "inner.mel=3", "unknown key 'inner.mel'. It is now 'inner.weights.mel'"),
        (Renamed, "learning_rate=3", "Did you mean 'optimizer.learning_rate'?"),
        (Outer, "inner.betas=3", "Did you mean 'inner.optimizer.betas'?"),
    ],
)
def test_a_renamed_key_or_a_key_outside_its_section_names_the_right_one(cls, override, hint):
    with pytest.raises(ClapgenError) as caught:
        load_config(cls, None, [override])
    assert hint in str(caught.value)
    assert to_dict(Renamed()).keys() == {"weights", "optimizer"}


def test_yaml_errors_name_file_and_line(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: rain\nlayers: [1, 2\nsteps: 3\n")
    with pytest.raises(ClapgenError, match=r"recipe\.yaml:3 is not valid YAML: .*expected"):
        load_config(Recipe, path)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"name: rain\nname: hail\n", 2, "duplicate key"),
        (b"name: rain\noptimizer:\n\tbetas: 1\n", 3, "cannot start any token"),
        (b"name: rain\nsteps: \x00\n", 2, "special characters are not allowed"),
        (b"name: rain\nsteps: \xff\n", 2, "not UTF-8"),
    ],
)
def test_every_kind_of_damage_is_named_with_its_line(tmp_path, content, line, reason):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(content)
    with pytest.raises(ClapgenError, match=rf"recipe\.yaml:{line}.*{reason}"):
        load_config(Recipe, path)


def test_from_a_dict_and_from_nothing():
    assert load_config(Optimizer) == Optimizer()
    assert load_config(Optimizer, {"learning_rate": 5}) == Optimizer(5.0)


def test_round_trip(tmp_path):
    recipe = Recipe("rain", seconds=1e-7, layers=[], weights={"a b": 1.0}, second=Optimizer(2.0))
    save_config(recipe, tmp_path / "recipe.yaml")
    assert load_config(Recipe, tmp_path / "recipe.yaml") == recipe
    assert load_config(Recipe, to_dict(recipe)) == recipe


@pytest.mark.parametrize(
    ("override", "reason"),
    [
        ("layers=3", "a list is needed, such as layers=[a,b] (key 'layers')"),
        ("stepz=3", "unknown key 'stepz'. Did you mean 'steps'?"),
        ("optimizer.lerning_rate=3", "unknown key 'optimizer.lerning_rate'. Did you mean 'learning_rate'?"),
        ("second.qqq=3", "unknown key 'second.qqq'. Known here: learning_rate, betas."),
        ("steps=many", "'steps'"),
        ("optimizer=3", "'optimizer' is a section"),
        ("steps", "key=value"),
        ("=3", "key=value"),
        ("layers=[1", "layers=[1"),
        ("layers=[a]", "layers"),
    ],
)
def test_mistakes_on_the_command_line(override, reason):
    with pytest.raises(ClapgenError) as caught:
        load_config(Recipe, {"name": "rain"}, [override])
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("steps: 3", "no value for 'name'"),
        ("name: rain\nstep: 3", "unknown key 'step'"),
        ("name: [rain", "not valid YAML"),
        ("- name", "no key: value"),
        ("name: rain\noptimizer: {betas: 3}", "betas"),
        ("\x00\xff", "not valid YAML"),
    ],
)
def test_mistakes_in_the_file_name_the_file(tmp_path, content, reason):
    path = tmp_path / "recipe.yaml"
    path.write_text(content)
    with pytest.raises(ClapgenError) as caught:
        load_config(Recipe, path)
    assert "recipe.yaml" in str(caught.value)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_may_ask_for_a_value_that_has_a_default(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("name: rain\noptimizer:\n  learning_rate: ???\n")
    with pytest.raises(ClapgenError, match=r"no value for 'optimizer\.learning_rate'"):
        load_config(Recipe, path)
    assert load_config(Recipe, path, ["optimizer.learning_rate=2"]).optimizer.learning_rate == 2.0


def test_missing_file(tmp_path):
    with pytest.raises(ClapgenError, match=r"gone\.yaml"):
        load_config(Recipe, tmp_path / "gone.yaml")


def test_recipes_by_name_and_by_path(tmp_path):
    shipped = recipe_path("clap", "default")
    assert shipped.name == "default.yaml"
    assert recipe_path("clap", shipped) == shipped
    with pytest.raises(ClapgenError, match="Did you mean 'default'"):
        recipe_path("clap", "defalt")
    with pytest.raises(ClapgenError, match=r"mine\.yaml"):
        recipe_path("clap", tmp_path / "mine.yaml")


@dataclass
class Weighted:
    weights: dict[str, float] = field(default_factory=lambda: {"mel": 1.0, "kl": 2.0})


@dataclass
class Nested:
    inner: Weighted = field(default_factory=Weighted)
    name: str = "rain"
    names: list[str] = field(default_factory=lambda: ["a"])
    seconds: float | None = 1.0


def test_a_mapping_in_a_recipe_replaces_the_default_and_a_key_on_the_command_line_is_added(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("inner:\n  weights: {clap: 3}\n")
    assert load_config(Nested, path).inner.weights == {"clap": 3.0}
    assert load_config(Nested, path, ["inner.weights.kl=1"]).inner.weights == {"clap": 3.0, "kl": 1.0}
    assert load_config(Nested, path, ["inner.weights={kl: 1}"]).inner.weights == {"kl": 1.0}
    assert load_config(Nested, None, ["inner.weights.kl=1"]).inner.weights == {"mel": 1.0, "kl": 1.0}
    assert load_config(Nested, {"inner": {"weights": {}}}).inner.weights == {}
    assert load_config(Nested).inner.weights == {"mel": 1.0, "kl": 2.0}  # the defaults themselves stay
    save_config(Nested(Weighted({"clap": 3.0})), path)
    assert load_config(Nested, path).inner.weights == {"clap": 3.0}


def test_a_key_without_a_value_on_the_command_line_empties_texts_and_lists():
    config = load_config(Nested, None, ["name=", "names=", "seconds="])
    assert (config.name, config.names, config.seconds) == ("", [], None)
    with pytest.raises(ClapgenError, match=r"steps"):
        load_config(Recipe, {"name": "rain"}, ["steps="])
