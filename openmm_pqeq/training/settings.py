"""What can be set in a training: data, start, and how the network is fitted. Each class is a table
of the training file, a line a setting; the flags of `train` and `finetune` are made from them."""

from dataclasses import dataclass

from openmm_pqeq.jobs import quantities, values
from openmm_pqeq.jobs.settings import setting, table_of

AUTO = "auto"
NONE = "none"
DEVICES = ("cpu", "cuda")
DTYPES = ("float32", "float64")
SCHEDULES = ("constant", "cosine", "cosine-time")
LABELS = ("reference", "short-range")
SHIFTS = ("fit", "keep")
TRAINED_WITH_PQEQ = (
    *("electronegativity", "hardness", "radius", "spring_constant"),
    *("softness", "electronegativity_slope"),
)
"""The last two of charges by bonds."""

_rate = values.within(values.positive, 1e-12, 1e3)
_weight = values.within(values.not_negative, 0, 1e12)
_seed = values.within(values.count, 0, values.LARGEST_SEED)


@dataclass(frozen=True)
class HeldOut:
    """Frames kept away from training: `numpy.random.default_rng(seed).permutation(n_frames)[:n]`,
    or the files named instead."""

    seed: int = setting("held out", _seed, 0, "seed of the choice of frames", "N")
    n: int | str = setting(
        "held out", values.share, 0, 'held-out frames, or a share of all such as "20%"', "SHARE"
    )
    files: tuple[str, ...] = setting(
        "held out", values.texts, (), "files of held-out frames, in place of n", "FILE", "+"
    )


@dataclass(frozen=True)
class DataSettings:
    """[data]: where the labels are."""

    files: tuple[str, ...] = setting(
        "data",
        values.texts,
        help="labelled structures: anything ASE reads, n2p2's input.data, DeePMD's folders; "
        "relative to the training file or else to the working directory",
        metavar="FILE",
        nargs="+",
    )
    energy_key: str = setting(
        "data", values.text, AUTO, 'where the data have energies, eV; "none" trains without', "KEY"
    )
    forces_key: str = setting("data", values.text, AUTO, "where the data have forces, eV/Å", "KEY")
    stress_key: str = setting(
        "data",
        values.text,
        AUTO,
        "where the data have stress, eV/Å³, 9, 3×3 or 6 numbers (xx yy zz yz xz xy); "
        '"none" trains without',
        "KEY",
    )
    stress_sign: int = setting(
        "data", values.sign, 1, "1: stress is (1/V) ∂E/∂ε as in ASE; -1: its negative", "SIGN"
    )
    charge_key: str = setting(
        "data", values.text, "charge", "where the data have the total charge, e; 0 without", "KEY"
    )
    reference_charges: dict[str, float] = setting(
        "data",
        values.numbers,
        dict,
        "of elements, e, where charges by bonds flow from, such as Na=1,Cl=-1; else oxidation "
        "states that add up to each frame's total charge",
        "CHARGES",
    )
    held_out: HeldOut = setting(
        "data",
        table_of(HeldOut),
        HeldOut,
        "frames that are measured, never trained on: seed and n, or files",
    )
    validation: int | str = setting(
        "data",
        values.share,
        0,
        "frames, or share of all, for early stopping and for choosing the exported weights",
        "SHARE",
    )
    subset: int | str = setting(
        "data", values.share, "100%", "train on so many of the others, or such a share", "SHARE"
    )
    labels: str = setting(
        "data",
        values.choice(*LABELS),
        LABELS[0],
        "reference: the terms beside the network are subtracted here; short-range: they are already",
    )
    type_map: tuple[str, ...] = setting(
        "data", values.names, (), "elements of DeePMD's types, such as Li,Ge,P,S", "SYMBOLS"
    )
    atomic_energies: dict[str, float] = setting(
        "data",
        values.numbers,
        dict,
        "energies of elements, eV, such as O=-432.1,Ti=-10; else from least squares",
        "ENERGIES",
    )


@dataclass(frozen=True)
class StartSettings:
    """[start]: a model to go on from, instead of [potential]."""

    model: str = setting(
        "start", values.text, help="name of a model that ships, or path of a file", metavar="MODEL"
    )
    train: str = setting(
        "start", values.text, "readout", "parts of the network that are trained, or none", "PARTS"
    )
    rank: int = setting(
        "start",
        values.within(values.count, 0, 10_000),
        0,
        "low-rank updates, of so many columns, for those of the parts that are large; 0: none",
        "N",
    )
    replay: int = setting(
        "start",
        values.within(values.count, 0, 10_000),
        0,
        "frames that the model has labelled itself, of other elements, in every batch: so that it "
        "forgets less",
        "N",
    )
    replay_files: tuple[str, ...] = setting(
        "start",
        values.texts,
        (),
        "structures for them, moved at random; default: crystals of many elements, built here",
        "FILE",
        "+",
    )
    train_pqeq: tuple[str, ...] = setting(
        "start",
        values.names_of(*TRAINED_WITH_PQEQ),
        (),
        f"and of PQEq: {','.join(TRAINED_WITH_PQEQ)}",
        "NAMES",
    )
    bounds: float = setting(
        "start",
        values.fraction,
        0.2,
        "how far PQEq's parameters may go from where they are, a part of them such as 20%",
        "SHARE",
    )
    pqeq_learning_rate: float = setting(
        "start", _rate, 0.02, "learning rate of PQEq's parameters, in units of bounds", "RATE"
    )
    shifts: str = setting(
        "start",
        values.choice(*SHIFTS),
        SHIFTS[0],
        "energies of the elements: fitted to what the model leaves over, or the model's own",
    )
    long_range: bool = setting(
        "start",
        values.boolean,
        True,
        "keep the model's other terms, such as PQEq; without, the network learns the whole reference",
    )


@dataclass(frozen=True)
class TrainingSettings:
    """[training]: how the network is fitted."""

    epochs: int = setting(
        "training", values.positive_count, 1000, "times that every frame is seen, at most", "N"
    )
    batch_size: int = setting(
        "training", values.count, 1, "frames a step; 0: as many as have 64 atoms together", "N"
    )
    learning_rate: float = setting(
        "training", _rate, 0.005, "learning rate of the network, at its highest", "RATE"
    )
    schedule: str = setting(
        "training",
        values.choice(*SCHEDULES),
        "cosine",
        "learning rate: constant; cosine to zero over epochs; cosine-time to zero over max_time "
        "(where that alone is given), which on another machine is another run",
    )
    warmup: int = setting(
        "training", values.count, 20, "steps over which the learning rate grows from zero", "N"
    )
    energy_weight: float = setting(
        "training", _weight, 1.0, "of energies in the loss, in units of the labels' scale", "W"
    )
    force_weight: float = setting("training", _weight, 1.0, "of forces in the loss", "W")
    force_level: float = setting(
        "training",
        values.within(values.not_negative, 0, 1e6, "eV/Å"),
        0.0,
        "where the label is far above it, the relative error of a force counts, so that strong ones "
        "do not drown weak ones, eV/Å; 0: all errors alike",
        "F",
    )
    stress_weight: float = setting("training", _weight, 1.0, "of stress in the loss", "W")
    weight_decay: float = setting(
        "training", values.within(values.not_negative, 0, 1e3), 0.0, "decay of AdamW", "D"
    )
    amsgrad: bool = setting("training", values.boolean, True, "AMSGrad variant of AdamW")
    gradient_clip: float = setting(
        "training",
        values.within(values.not_negative, 0, 1e12),
        0.0,
        "longest gradient, longer ones are cut to it; 0: none is cut",
        "G",
    )
    ema: float = setting(
        "training",
        values.within(values.not_negative, 0, 0.999999),
        0.99,
        "decay of the running average of the weights, which is validated and exported; 0: the "
        "last weights",
        "D",
    )
    seed: int = setting("training", _seed, 0, "of the weights and of the order of frames", "N")
    patience: int = setting(
        "training",
        values.count,
        0,
        "stop after so many epochs without a better validation force error; 0: never",
        "EPOCHS",
    )
    max_time: float = setting(
        "training",
        quantities.seconds,
        0.0,
        'end with the epoch nearest to it: "HH:MM:SS", "10min" or seconds; 0: no limit',
        "TIME",
    )
    measure_every: int = setting(
        "training", values.positive_count, 5, "epochs between measurements of held-out errors", "N"
    )
    threads: int = setting(
        "training",
        values.within(values.count, 0, 4096),
        0,
        "CPU threads; 0: torch's choice",
        "N",
    )
    processes: int = setting(
        "training",
        values.within(values.positive_count, 1, 1024),
        1,
        "that share every batch, one a GPU or a part of the cores; the loss is that of one",
        "N",
    )
    deterministic: bool = setting(
        "training",
        values.boolean,
        False,
        "the same weights whenever it is repeated with the same threads on the same machine: torch's "
        "deterministic algorithms, and nothing that reads the clock",
    )
    dtype: str = setting(
        "training", values.choice(*DTYPES), "float32", "of the network while it is trained"
    )
    device: str = setting("training", values.choice(*DEVICES), "cpu", "where it is trained")
