"""The file of an experiment that is done in seconds."""


def experiment_file(model, choices, top="", recipe=""):
    """Its text: `choices` are its choices, `top` and `recipe` more lines of the file and of its recipe_changes."""
    return f"""
models = ["{model}"]
budgets = ["25%"]
recipe = "small"
{top}
[recipe_changes]
steps = 2
batch_size = 4
max_tokens = 64
{recipe}
[settings]
engine = "fake"
[evaluation]
heldout = ["heldout.json"]
{choices}
"""
