"""The part of the packaging that pyproject.toml cannot express: configs/ is installed as clapgen/configs."""

from setuptools import find_namespace_packages, setup

PACKAGES = ("clapgen", "pretrain", "generation", "captioning")

# Namespace packages, to include folders without Python files: the recipes and the models.
code = find_namespace_packages(include=[f"{name}{inside}" for name in PACKAGES for inside in ("", ".*")])
recipes = ["clapgen.configs", *(f"clapgen.configs.{name}" for name in find_namespace_packages("configs"))]

setup(packages=[*code, *recipes], package_dir={"clapgen.configs": "configs"})
