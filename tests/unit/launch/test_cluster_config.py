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
