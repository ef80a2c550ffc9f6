"""The part of the packaging that pyproject.toml cannot say: recipes in configs/ are installed as clapgen/configs."""

from setuptools import find_packages, setup

ours = find_packages(include=["clapgen*", "pretrain*", "generation*", "captioning*"])

setup(
    packages=[*ours, "clapgen.configs"],
    package_dir={"clapgen.configs": "configs"},
)
