"""All recipes: every file of this folder whose name begins with s and a digit holds one, as ``RECIPE``."""

import importlib
import pkgutil
import re

from src import recipes
from src.recipes.recipe import Recipe


def load_recipes() -> dict[str, Recipe]:
    """By name, in the order of the experiments."""
    names = sorted(name for _, name, _ in pkgutil.iter_modules(recipes.__path__) if re.match(r"s\d", name))
    found = [importlib.import_module(f"src.recipes.{name}").RECIPE for name in names]
    return {recipe.name: recipe for recipe in found}
