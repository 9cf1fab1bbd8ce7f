"""Words of a short run."""

RUN = (
    "run",
    "MgO.extxyz",
    "--model",
    "model.pt",
    "--steps",
    "2",
    "--output",
    "new",
    "--backend",
    "python",
)


def run_with(*arguments, **replaced):
    """Arguments of a short run with some of them replaced or added."""
    words = list(RUN)
    for flag, value in replaced.items():
        words[words.index(f"--{flag}") + 1 if flag != "structure" else 1] = value
    return [*words, *arguments]
