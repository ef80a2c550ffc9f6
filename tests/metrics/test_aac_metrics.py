"""aac-metrics in its own environment: missing requirements are named; requests and answers are JSON.

The package cannot be installed beside clapgen. The pipe to it is tested with a stand-in in an environment made here;
set CLAPGEN_AAC_METRICS_PYTHON to a Python that has the real one, and the last test compares its figures with ours.
"""

import os
import sys
import venv

import pytest

from clapgen.errors import ClapgenError
from clapgen.metrics.captions.scores import caption_scores
from clapgen.metrics.external.aac_metrics import aac_metrics_scores

REAL = os.environ.get("CLAPGEN_AAC_METRICS_PYTHON")
CANDIDATES = ["A dog, barking!", "", "__import__('os').abort() ||| 犬"]
REFERENCES = [["A dog barks", "Two dogs bark"], ["Rain\nfalls"], ["犬 🐶"]]
STAND_IN = """
print("loading models ...")
class Value:
    def __init__(self, value): self.value = value
    def __float__(self): return self.value
def evaluate(candidates, references, preprocess, metrics, cache_path, java_path, device):
    print("evaluating", candidates)
    if metrics == ["fense"]:
        raise OSError("no\\nmodel")
    assert not preprocess and len(candidates) == len(references)
    lengths = [float(len(c.split())) for c in candidates]
    return ({name: Value(sum(lengths)) for name in metrics},
            {" | ".join(candidates + sum(references, [])) + device: [Value(n) for n in lengths]})
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aac")
    venv.create(folder, symlinks=True, with_pip=False)
    package = folder / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/aac_metrics"
    package.mkdir()
    (package / "__init__.py").write_text(STAND_IN)
    return folder / "bin/python"


def java_that_says(tmp_path, version: str):
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\necho 'Picked up JAVA_TOOL_OPTIONS: -Xmx1g' >&2\necho '{version}' >&2\n")
    java.chmod(0o755)
    return java


def test_captions_are_sent_as_words_and_scores_come_back(python):
    scores = aac_metrics_scores(CANDIDATES, REFERENCES, ["vocab", "rouge_l"], python)
    words = "a dog barking |  | import os abort | | | 犬 | a dog barks | two dogs bark | rain falls | 犬cpu"
    assert scores.corpus == {"vocab": 10, "rouge_l": 10}
    (sent,) = scores.clips
    assert sent.replace("__import__", "import") == words
    assert scores.clips[sent] == [3, 0, 7]


def test_an_error_of_aac_metrics_is_reported_in_one_line(python):
    with pytest.raises(ClapgenError, match=r"could not compute fense \(OSError: no model\).*aac-metrics-download"):
        aac_metrics_scores(CANDIDATES, REFERENCES, ["fense"], python)


@pytest.mark.skipif(REAL is not None, reason="the package may be here")
def test_without_the_package_the_error_names_what_to_install():
    with pytest.raises(ClapgenError, match=r"need the package aac-metrics.*python -m venv aac && .*aac/bin/python"):
        aac_metrics_scores(CANDIDATES, REFERENCES)


def test_a_python_without_the_package_is_named(tmp_path):
    venv.create(tmp_path, symlinks=True, with_pip=False)
    with pytest.raises(ClapgenError, match=r"bin/python' cannot import aac_metrics \(ModuleNotFoundError.*venv"):
        aac_metrics_scores(CANDIDATES, REFERENCES, ["fense"], tmp_path / "bin/python")


@pytest.mark.parametrize(("python", "message"), [("/none/python", "cannot be run"), ("/bin/cat", "gave no scores")])
def test_an_invalid_python_is_named(python, message):
    with pytest.raises(ClapgenError, match=f"'{python}' {message}"):
        aac_metrics_scores(CANDIDATES, REFERENCES, ["fense"], python)


@pytest.mark.parametrize("version", ['openjdk version "1.8.0_292"', 'java version "11.0.13" 2021', 'x version "13"'])
def test_a_suitable_java_is_accepted(python, tmp_path, version):
    java = java_that_says(tmp_path, version)
    assert aac_metrics_scores(CANDIDATES, REFERENCES, ["meteor"], python, java).corpus == {"meteor": 10}


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ('openjdk version "17.0.15" 2025-04-15', r'spice and meteor need Java 8 to 13, and .*java\' is "17\.0\.15"'),
        ('java version "1.7.0_80"', r'java\' is "1\.7\.0_80"'),
        ("coffee", "prints 'Picked up"),
    ],
)
def test_an_unsuitable_java_is_named(python, tmp_path, version, message):
    with pytest.raises(ClapgenError, match=message):
        aac_metrics_scores(CANDIDATES, REFERENCES, ["spice", "meteor"], python, java_that_says(tmp_path, version))


def test_missing_java_is_only_an_error_where_it_is_needed(python):
    with pytest.raises(ClapgenError, match="meteor needs Java 8 to 13, and '/none/java' does not run"):
        aac_metrics_scores(CANDIDATES, REFERENCES, ["meteor", "vocab"], python, "/none/java")
    assert aac_metrics_scores(CANDIDATES, REFERENCES, ["vocab"], python, "/none/java").corpus == {"vocab": 10}


@pytest.mark.parametrize(
    ("metrics", "message"),
    [(["meteo"], "unknown metric 'meteo'.*Did you mean 'meteor'"), ([], "give a list"), ("spice", "give a list")],
)
def test_unknown_metrics_are_refused(metrics, message):
    with pytest.raises(ClapgenError, match=message):
        aac_metrics_scores(CANDIDATES, REFERENCES, metrics)


def test_captions_that_do_not_pair_are_refused():
    with pytest.raises(ClapgenError, match="3 captions and references of 1 clips"):
        aac_metrics_scores(CANDIDATES, REFERENCES[:1])


@pytest.mark.skipif(REAL is None, reason="CLAPGEN_AAC_METRICS_PYTHON names no Python with aac-metrics")
def test_scores_of_the_real_package_equal_ours():
    theirs = aac_metrics_scores(CANDIDATES, REFERENCES, ["bleu_1", "bleu_4", "rouge_l", "cider_d"], REAL)
    ours = caption_scores(CANDIDATES, REFERENCES)
    for name, own in {"bleu_1": "BLEU-1", "bleu_4": "BLEU-4", "rouge_l": "ROUGE-L", "cider_d": "CIDEr-D"}.items():
        assert theirs.corpus[name] == pytest.approx(ours.corpus[own], abs=1e-9)
        assert theirs.clips[name] == pytest.approx(ours.clips[own], abs=1e-9)
