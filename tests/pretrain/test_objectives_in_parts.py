"""Two processes with half of the batch each have the gradient of one with all of it, for every objective."""

import sys
from pathlib import Path

import pytest
import torch
from launch import run_processes

from pretrain.objectives import OBJECTIVES

SCRIPT = Path(__file__).with_name("objectives_in_parts.py")


@pytest.mark.slow
def test_the_mean_over_two_processes_has_the_gradient_of_the_joined_batch(tmp_path):
    run_processes([sys.executable, str(SCRIPT), str(tmp_path)], world=2)
    joined, *parts = (torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("joined", 0, 1))
    for name in OBJECTIVES:
        for key, expected in joined[name].items():
            mean = (parts[0][name][key] + parts[1][name][key]) / 2
            assert torch.allclose(mean, expected, atol=2e-6, rtol=1e-4), (name, key, (mean - expected).abs().max())
        assert any(expected.any() for key, expected in joined[name].items() if key != "loss"), name
