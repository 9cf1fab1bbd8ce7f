"""`finetune`: a model adjusted to new data, in a new file; the one it comes from stays as it is."""

import shutil
from pathlib import Path
from typing import Callable

from openmm_pqeq.jobs.files import whole
from openmm_pqeq.jobs.folder import check_file
from openmm_pqeq.training.ablation import WITH, WITHOUT, ablate
from openmm_pqeq.training.config import Config
from openmm_pqeq.training.run import Result, fit


def finetune(
    config: Config,
    output: str | Path,
    overwrite: bool = False,
    resume: bool = False,
    without_long_range_too: bool = False,
    say: Callable[[str], None] = print,
) -> Result:
    """Fine-tune the model of [start] and write `output` (a .pt file); everything else goes into the
    folder of the same name.

    without_long_range_too : the same once more without PQEq and D3, see ablation.py; its model is
        written beside the other
    Raises FileExistsError where something would be overwritten, and what `train` raises.
    """
    output = Path(output)
    if config.start is None:
        raise ValueError("start: expected a model to go on from, got none")
    if output.suffix != ".pt":
        raise ValueError(
            f"output: expected the name of a model file such as finetuned.pt, got {str(output)!r}"
        )
    folder, model = output.with_suffix(""), Path(config.start.model)
    other = output.with_name(f"{output.stem}-{WITHOUT}.pt")
    for path in (output, other) if without_long_range_too else (output,):
        if model.exists() and (
            model.resolve() == path.resolve() or folder.resolve() in model.resolve().parents
        ):
            raise FileExistsError(
                f"output: {path} would overwrite the model it comes from; choose another name"
            )
        check_file(path, overwrite or resume)
    if without_long_range_too:
        results = ablate(config, folder, overwrite, resume, say)
        _copy(results[WITHOUT].model, other)
        say(f"without the long-range part: {other}")
        result = results[WITH]
    else:
        result = fit(config, folder, overwrite, resume, say)
    _copy(result.model, output)
    say(f"fine-tuned model: {output} (made from {config.start.model}, which is as it was)")
    return result._replace(model=output)


def _copy(model: Path, output: Path) -> None:
    with whole(output) as part:
        shutil.copyfile(model, part)
