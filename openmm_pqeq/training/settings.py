"""What can be set in a training: data, start, and how the network is fitted. Each class is a table
of the training file."""

from dataclasses import dataclass, field

AUTO = "auto"
NONE = "none"
DEVICES = ("cpu", "cuda")
SCHEDULES = ("constant", "cosine", "cosine-time")
LABELS = ("reference", "short-range")
TRAINED_WITH_PQEQ = ("electronegativity", "hardness", "radius", "spring_constant")


@dataclass(frozen=True)
class HeldOut:
    """Frames kept away from training: `numpy.random.default_rng(seed).permutation(n_frames)[:n]`,
    or the files named instead.

    n : frames, or a share of all such as "20%"
    """

    seed: int = 0
    n: int | str = 0
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSettings:
    """[data]: where the labels are.

    files : anything ASE reads, n2p2's input.data, DeePMD's folders: all frames; relative to the
        training file or else to the working directory
    energy_key, forces_key, stress_key : name in `atoms.info`, `atoms.arrays` or the frame's
        calculator; "auto" tries the usual ones. `stress_key = "none"` trains without stress,
        `energy_key = "none"` without energies.
    stress_sign : 1 where stress is (1/V) ∂E/∂ε as in ASE, −1 where it is its negative (a
        pressure-like tensor). eV/Å³: nine numbers, 3×3, or six in ASE's Voigt order xx yy zz yz xz
        xy.
    charge_key : total charge in `atoms.info`; 0 where a frame has none
    held_out : see HeldOut; these frames are measured, never trained on, never used to choose
        anything
    validation : this many of the remaining frames, or this share of all, are for early stopping and
        for choosing the exported weights (0: none)
    subset : train on this many of the others, or this share of them
    labels : "reference" (the terms beside the network are subtracted here) or "short-range"
        (that was done by whoever made the data)
    type_map : elements of DeePMD's types, where the data do not name them
    atomic_energies : eV per element, where they should not come from least squares
    """

    files: tuple[str, ...]
    energy_key: str = AUTO
    forces_key: str = AUTO
    stress_key: str = AUTO
    stress_sign: int = 1
    charge_key: str = "charge"
    held_out: HeldOut = field(default_factory=HeldOut)
    validation: int | str = 0
    subset: int | str = "100%"
    labels: str = LABELS[0]
    type_map: tuple[str, ...] = ()
    atomic_energies: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StartSettings:
    """[start]: a model to go on from, instead of [potential].

    model : name of a model that ships, or path of a file
    train : parts of the network that are trained, see parts.py; "none" where PQEq's parameters
        alone are
    train_pqeq : which parameters of PQEq are trained too: electronegativity, hardness, radius,
        spring_constant
    bounds : how far these may go from where they start, as a fraction of it
    pqeq_learning_rate : of these, in units of `bounds`
    shifts : "fit" (least squares of the energies that the model leaves over, per element) or "keep"
        (the model's own)
    long_range : whether the model keeps its terms beside the network, such as PQEq and D3; without
        them the network is to learn the whole reference
    """

    model: str
    train: str = "readout"
    train_pqeq: tuple[str, ...] = ()
    bounds: float = 0.2
    pqeq_learning_rate: float = 0.02
    shifts: str = "fit"
    long_range: bool = True


@dataclass(frozen=True)
class TrainingSettings:
    """[training]: how the network is fitted.

    batch_size : frames a step; 0: as many as have about 64 atoms together
    schedule : "constant", "cosine" (to zero over `epochs`) or "cosine-time" (to zero over
        `max_time`, which then has to be given; for a fixed allowance of machine time, at the price
        that a repetition on another machine is not the same run)
    warmup : steps over which the learning rate grows from zero
    energy_weight, force_weight, stress_weight : of the loss in loss.py, where all three parts are
        in units of the labels' scale
    ema : decay of the running average of the weights, which is what is validated and exported; 0
        exports the last weights
    patience : stop after so many epochs without a better validation force error (0: never; needs
        `validation`)
    max_time : "HH:MM:SS", "10min" (s, min, h) or seconds; the run ends with the epoch nearest to
        it; 0: no limit
    measure_every : epochs between measurements of the held-out errors
    threads : torch threads; 0 leaves torch's choice
    """

    epochs: int = 1000
    batch_size: int = 1
    learning_rate: float = 0.005
    schedule: str = "cosine"
    warmup: int = 20
    energy_weight: float = 1.0
    force_weight: float = 1.0
    stress_weight: float = 1.0
    weight_decay: float = 0.0
    amsgrad: bool = True
    gradient_clip: float = 0.0
    ema: float = 0.99
    seed: int = 0
    patience: int = 0
    max_time: float | str = 0.0
    measure_every: int = 5
    threads: int = 0
    dtype: str = "float32"
    device: str = "cpu"
