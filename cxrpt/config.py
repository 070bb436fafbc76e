"""The typed configuration of a run: defaults < yaml file (its `base` first) < `key=value` words of the command line.

Every part of the program is handed its own part of this tree, never the root. A key that does not exist is an error
that names the closest one that does.
"""

from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import OmegaConf

from cxrpt.config_layers import read_layers
from cxrpt.config_rules import check_config
from cxrpt.errors import InputError


@dataclass
class SourceConfig:
    """One institution's shards in the mix."""

    path: str = ""
    """Folder `<out>/<institution>` that `cxrpt prep` made, or its URL: https://, s3://, gs://, `pipe:COMMAND {}` and others."""
    weight: float = 1.0
    """Share of the samples, relative to the other sources; 0 leaves the source out."""
    weight_from_step: dict[int, float] = field(default_factory=dict)
    """A schedule of the weight, as {20000: 0.5, 50000: 0}: from each step on it is this; before the first it is `weight`."""
    epochs: int = 0
    """The source ends, on all lanes with one step, before a sample would come more often than this; 0 repeats it."""
    use: str = "all"
    """all, pairs, images or texts: what of each sample is used."""

    @property
    def is_drawn(self) -> bool:
        """Whether any weight of it, now or later, is above 0."""
        return self.weight > 0 or any(weight > 0 for weight in self.weight_from_step.values())


@dataclass
class DataConfig:
    """What is read, in which mix, and what a sample becomes."""

    sources: dict[str, SourceConfig] = field(default_factory=dict)
    tokenizer: str = ""
    """SentencePiece model file that `cxrpt tokenizer` made."""
    lanes: int = 64
    """Streams that stand in for ranks: the world size divides it, and it divides the global batch."""
    mix_slots: int = 1024
    """Slots of the mixing table: weights are quantised to multiples of 1/mix_slots."""
    temperature: float = 0.0
    """T above 0 multiplies each weight by the source's number of samples to the power 1/T: 1 draws by size, larger T more
    evenly; 0 takes the weights as they are."""
    balance: bool = True
    """Ranks exchange a few samples within each step so that their tokens are about equal."""
    image_size: int = 224
    """Side of the square the model sees, in pixels; a multiple of the patch size."""
    max_text_tokens: int = 160
    """Tokens of a report that are kept; the rest is cut."""
    sections: list[str] = field(default_factory=lambda: ["FINDINGS", "IMPRESSION"])
    """Report sections that are used, in this order; a report without any of them is used whole."""
    augment: bool = True
    """Small random rotation, scale, shift, contrast and gamma; never a left-right flip (reports name sides)."""
    workers: int = 4
    """Loader processes a rank; 0 decodes in the training process."""
    prefetch: int = 4
    """Micro-batches that each worker holds ready."""
    cache_dir: str = ""
    """Node-local folder for copies of remote shards; may hold `~` and `$NAME`; empty is `cxrpt-cache-UID` in TMPDIR or /tmp."""
    cache_gb: float = 50.0
    """The most that the copies of a node take, in GB (1e9 bytes), those under way included."""
    max_bad_fraction: float = 0.01
    """The run stops when more than this share of a source's samples (and more than ten) are bad."""


@dataclass
class ModelConfig:
    """The transformer. `size` names width x depth x heads; a value above 0 overrides it."""

    size: str = "base"
    """tiny, small, base or large: 192 x 12 x 3, 384 x 12 x 6, 768 x 12 x 12, 1024 x 24 x 16."""
    width: int = 0
    """Numbers a row; the heads divide it."""
    depth: int = 0
    """Blocks."""
    heads: int = 0
    """Attention heads of a block."""
    patch_size: int = 16
    """Side of a patch, in pixels."""
    mlp_ratio: float = 4.0
    """Width of the feed-forward net over that of the rows."""


@dataclass
class ObjectiveConfig:
    """Losses, their weights, and how masks are drawn."""

    mlm_weight: float = 1.0
    """Of masked language modelling: hidden words of reports; 0 turns it off."""
    mvm_weight: float = 1.0
    """Of masked vision modelling: hidden regions of pictures; 0 turns it off."""
    itc_weight: float = 0.0
    """Image-text contrast on split pairs, which are then not masked; 0 turns it off."""
    split_pairs: float = 0.0
    """Probability that a pair becomes two sequences (for the contrast) instead of one fused sequence."""
    mlm_ratio: float = 0.15
    """Share of the tokens that are chosen, whole words at a time."""
    mvm_ratio: float = 0.5
    """Share of the patches that are masked."""
    mvm_scales: list[int] = field(default_factory=lambda: [1, 2, 4])
    """Sides, in patches, of the masked regions and of the groups that are regenerated."""
    mvm_scale_weights: list[float] = field(default_factory=lambda: [1.0, 1.0, 1.0])
    """Share of each scale in the weight of masked vision modelling."""
    normalize_targets: bool = False
    """Regenerate each patch after subtracting its mean and dividing by its deviation, instead of raw pixels."""


@dataclass
class OptimConfig:
    """AdamW and its learning rate, a pure function of the step."""

    lr: float = 5e-4
    """Learning rate at its highest."""
    min_lr: float = 1e-5
    """Learning rate of the last step, where the schedule falls."""
    schedule: str = "cosine"
    """cosine: after the warm-up down to min_lr at the last step. constant: after the warm-up lr, but for the cooldown."""
    warmup_steps: int = 500
    """Steps of a straight rise to lr; a warm-up longer than the run is cut to a tenth of it."""
    cooldown_steps: int = 0
    """Last steps of the schedule `constant`, in which it falls in a straight line to min_lr; 0 stays at lr."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.98])
    """Decay of the running means of the gradient and of its square."""
    eps: float = 1e-8
    """Added to the denominator of an update."""
    weight_decay: float = 0.05
    """Decoupled, of matrices; not of biases, norms, embeddings and single rows."""
    clip_norm: float = 1.0
    """Largest norm of a step's gradient over all ranks; a longer one is cut to it."""


@dataclass
class EngineConfig:
    """How the work is spread and in which numbers it is done."""

    zero_stage: int = 1
    """ZeRO stage: what is cut over the ranks instead of kept by each. 1: optimizer state; 2: gradients too; 3: weights too;
    0: nothing, in fp32 only, as the reference."""
    precision: str = "bf16"
    """bf16, fp32, or fp16 with dynamic loss scaling."""
    initial_loss_scale_power: int = 16
    """fp16: the loss is first multiplied by 2 to this power; halved by each step that overflows, which is skipped."""
    loss_scale_window: int = 1000
    """fp16: steps without overflow after which the loss scale is doubled."""
    device: str = "auto"
    """auto, cpu or cuda."""
    micro_batch: int = 0
    """Samples a rank holds at once; 0 takes all of its share of the global batch."""
    recompute_blocks: int = 0
    """Blocks of the transformer, spread evenly, whose activations are computed again in the backward pass instead of kept:
    memory for the time of another forward pass through them; -1 takes all."""
    compile: bool = False
    """Compile the blocks (torch.compile) around attention, once for any number of rows. On a CPU it gained nothing (0.98 to
    1.00 of the speed, and half a minute at each start); on a GPU it was not measured. A C++ compiler must be there."""
    deterministic: bool = False
    """On a GPU only kernels that give the same bits every time, so that a run made twice, or resumed, is bitwise the same, but
    slower. A CPU always gives the same bits."""
    max_skipped_steps: int = 20
    """Steps in a row with a non-finite loss or gradient after which the run stops."""
    hang_timeout_s: float = 900.0
    """A run in which no part of a step ends for so long ends with the stacks of all ranks and the name of the one that hangs;
    starting, the first step and a save may take four times as long. 0 waits for ever."""


@dataclass
class TrainConfig:
    """How long, how much at a time, and when to save."""

    steps: int = 10_000
    """Optimizer steps of the run."""
    global_batch: int = 256
    """Samples of one optimizer step, over all ranks and accumulation."""
    log_every: int = 10
    """Steps between two lines of the journal; losses are means over them."""
    checkpoint_every: int = 1000
    """Steps between two checkpoints; the last step is saved in any case."""
    init_from: str = ""
    """A run, a checkpoint or an exported folder whose weights a new run begins with; optimizer and data begin anew."""
    max_failed_saves: int = 3
    """Saves in a row that may fail (a full disk); one more ends the run. 0 ends it at the first."""
    dry_run: bool = True
    """Before the first step, the largest micro-batch that the run can meet goes forward and backward without an update: what
    it needs is told, and too little memory ends the run at once."""
    keep_last: int = 3
    """Newest checkpoints that are kept; 0 keeps all."""
    keep_every: int = 0
    """Steps whose multiples are kept for good; 0 keeps none beyond the newest."""
    stop_signals: list[str] = field(default_factory=lambda: ["TERM", "INT", "USR1", "USR2"])
    """Signals upon which the run saves and ends with code 75; a second INT ends it at once, without a save."""
    spike_threshold: float = 10.0
    """A step whose loss is so many deviations above the median of the 64 before it is told, with its samples; 0 tells none."""
    trace_from_step: int = 10
    """First step of a trace."""
    trace_steps: int = 0
    """Steps that ranks 0 to 7 record as a Chrome trace, RUN/traces/*.json: a few, as each takes megabytes; 0 records none."""


@dataclass
class TrackConfig:
    """Where metrics go beside the journal."""

    uri: str = ""
    """MLflow tracking server or sqlite:/// file; empty is `mlflow.db` beside the run directories, `none` turns it off."""
    experiment: str = "cxrpt"
    """MLflow experiment that the run stands in."""
    require_at_start: bool = True
    """A server that does not answer when a run first starts is an input error; later it costs nothing but delay."""


@dataclass
class EvalConfig:
    """The downstream tasks, and the probes of whether image and text are joined."""

    tasks: list[str] = field(default_factory=lambda: ["classify", "retrieve", "regenerate", "grounding"])
    """Which of these are done."""
    every: int = 1
    """Workers beside the training evaluate every checkpoint; above 1, the multiples of so many times `train.checkpoint_every`,
    and the last step."""
    idle_min: float = 60.0
    """A worker that has nothing to do ends after so long without a sign of life of the trainer."""
    order: str = "newest"
    """newest: a worker that has fallen behind takes the newest checkpoint first. oldest: as they came."""
    split: str = "test"
    """Split that is scored; probes are fitted on `train`."""
    sources: list[str] = field(default_factory=list)
    """Sources that are scored, and whose labels probes are fitted on, also such as training never draws (weight 0); empty takes
    those that it draws."""
    classifiers: list[str] = field(default_factory=lambda: ["linear", "attention", "zero_shot"])
    """Some of linear, attention, fine_tune (takes long) and zero_shot (needs the contrast), each with its baselines."""
    label_shares: list[float] = field(default_factory=lambda: [1.0, 10.0, 100.0])
    """Per cent of the labelled training patients whose labels are used."""
    label_draws: int = 3
    """How often a share below 100 is drawn; scores are means over the draws."""
    fine_tune_steps: int = 300
    """Steps of one fine-tuning, at most; there is one for every share and draw, and one more from fresh weights."""
    fine_tune_batch: int = 32
    """Pictures of a step of fine-tuning."""
    fine_tune_lr: float = 5e-4
    """Learning rate of the last layer; those below it have less."""
    max_train_images: int = 20_000
    """Pictures, at most, that probes are fitted on."""
    max_images: int = 5_000
    """Pictures, at most, that are scored."""
    max_pairs: int = 1_000
    """Size of the retrieval pool, at most."""
    max_regenerated: int = 200
    """Pictures whose hidden patches are regenerated, under every kind of mask at every ratio."""
    mask_ratios: list[float] = field(default_factory=lambda: [0.15, 0.5, 0.75])
    """Shares of the patches that are hidden for regeneration."""
    mask_kinds: list[str] = field(default_factory=lambda: ["mixed", "1x1", "2x2", "4x4"])
    """What is hidden: mixed squares as in training, or squares of one size, in patches."""
    max_biharmonic: int = 32
    """Of those pictures, how many are inpainted biharmonically too; a mask takes a core up to 0.4 s at 128 px, 1.1 s at 224."""
    max_probed: int = 300
    """Pairs, at most, whose words and regions are hidden by the grounding probes; also reports of a source for masked words."""
    untrained_baseline: bool = True
    """Also probe the network with fresh weights, which doubles the time that features take, and fine-tune it."""
    batch: int = 64
    """Samples that go through the model at once."""
    threads: int = 0
    """CPU threads; 0 takes all."""


@dataclass
class RunConfig:
    """The root of the tree: one run."""

    name: str = ""
    """Name of the run; its directory is `<runs>/<name>`."""
    runs: str = "runs"
    """Folder of the run directories."""
    seed: int = 0
    """Of the order of the samples, of masks and of fresh weights."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    track: TrackConfig = field(default_factory=TrackConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)

    @property
    def run_dir(self) -> Path:
        return Path(self.runs) / self.name

    @property
    def evaluated(self) -> dict[str, SourceConfig]:
        """The sources that an evaluation reads."""
        return {
            name: source
            for name, source in self.data.sources.items()
            if (name in self.eval.sources if self.eval.sources else source.is_drawn)
        }


def load_config(path: Path | None, overrides: list[str] | None = None) -> RunConfig:
    """Read a run's configuration.

    Args:
        path: a yaml file that holds only what differs from the defaults, or from the file that its `base` names; or None.
        overrides: words `key.of.tree=value`, as on the command line.

    Raises:
        InputError: no such file, not yaml, an unknown key, a value of the wrong type or out of its range.
    """
    config = read_layers(RunConfig, path, overrides)
    if not config.name and path is not None:
        config.name = path.stem
    check_config(config)
    return config


def require_run(run_dir: Path) -> None:
    """Raise InputError where there is no run directory."""
    if not run_dir.exists():
        raise InputError(f"{run_dir} does not exist: `cxrpt status` shows what is in runs/")
    if not (run_dir / "config.yaml").is_file():
        raise InputError(f"{run_dir} is no run directory: it holds no config.yaml")


def config_of(run_dir: Path) -> RunConfig:
    """The configuration of a run that was started.

    Raises:
        InputError: there is no such folder, it is no run directory, or its configuration is of another version.
    """
    require_run(run_dir)
    return load_config(run_dir / "config.yaml")


def to_yaml(config: RunConfig) -> str:
    """The whole tree as yaml; `load_config` of it gives an equal tree."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))
