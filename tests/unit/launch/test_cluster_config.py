import pytest

from cxrpt.errors import InputError
from launch.cluster_config import load_cluster, split_words


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("train: {nodes: 2, partition: gpu}\nenvironment: {NCCL_DEBUG: WARN}\nsetup: [module load cuda]\n")
    return path


def test_a_file_and_words(file):
    run, cluster = split_words(["train.steps=5", "cluster.train.nodes=4"])
    assert run == ["train.steps=5"]
    config = load_cluster(file, cluster)
    assert (config.train.nodes, config.train.partition, config.evaluate.partition) == (4, "gpu", "")
    assert config.environment == {"NCCL_DEBUG": "WARN"} and config.setup == ["module load cuda"]


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("train.node=4", "the closest key is 'train.nodes'"),
        ("train.nodes=0", "train.nodes=0: must be above 0"),
        ("train.nodes=many", "train.nodes"),
        ("train.signal=KILL", "must be one of TERM"),
        ("train.signal_delay_s=90000", "must lie between 0 and the time limit, 86400 s"),
        ("evaluate.workers=-1", "must be 0"),
        ("container.kind=docker", "apptainer, pyxis or empty"),
        ("container.kind=pyxis", "name the image"),
        ("environment.MLFLOW_TRACKING_PASSWORD=x", "credentials are kept in no file"),
    ],
)
def test_what_cannot_be_is_told(file, word, says):
    with pytest.raises(InputError, match=says):
        load_cluster(file, [word])


NO_SECRETS = ["TOKENIZERS_PARALLELISM", "MAX_TOKENS", "NCCL_DEBUG", "KEYBOARD_ACCESS", "OLDPWD"]
SECRETS = [
    "HF_TOKEN", "MLFLOW_TRACKING_TOKEN", "hf_token", "HFTOKEN", "TOKEN_OF_MINE", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
    "MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "SSH_PASSWD", "KEY_PASSPHRASE", "MYSQL_PWD", "WANDB_API_KEY", "OPENAI_APIKEY",
    "GOOGLE_APPLICATION_CREDENTIALS", "A_PRIVATE_KEY",
]  # fmt: skip


@pytest.mark.parametrize("name", [*NO_SECRETS, *SECRETS])
def test_only_names_of_credentials_are_refused(file, name):
    try:
        load_cluster(file, [f"environment.{name}=x"])
    except InputError as error:
        assert name in SECRETS and "credentials are kept in no file" in str(error)
    else:
        assert name in NO_SECRETS
