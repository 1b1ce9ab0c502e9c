"""The work of nodes on Apache Beam: in this process, and on the portable job service of another one."""

import errno
import subprocess
import sys
import time

import pytest

from ikelos.pipelines.data import records, sources
from ikelos.pipelines.data.config import SPLITS, Source
from ikelos.pipelines.errors import UserError

IMAGES = {"train": 24, "validation": 6, "test": 6}
"""Number of images of each of the two classes."""
pytestmark = pytest.mark.tfx


class JobService:
    """The job service that comes with Beam, in a process of its own."""

    def __init__(self, folder):
        port = folder / "port"
        command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main"]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--port", "0", "--port_file", str(port), "--staging_dir", str(folder / "staging")],
                stdout=log,
                stderr=log,
            )
        while not port.exists():
            assert self.process.poll() is None
            time.sleep(0.05)
        self.address = f"localhost:{port.read_text()}"
        self.flags = ["--runner=PortableRunner", f"--job_endpoint={self.address}", "--environment_type=LOOPBACK"]

    def jobs(self):
        """The states of all jobs so far."""
        import grpc
        from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

        with grpc.insecure_channel(self.address) as channel:
            found = beam_job_api_pb2_grpc.JobServiceStub(channel).GetJobs(beam_job_api_pb2.GetJobsRequest())
        return [beam_job_api_pb2.JobState.Enum.Name(job.state) for job in found.job_info]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    found = JobService(tmp_path_factory.mktemp("service"))
    yield found
    found.process.terminate()
    found.process.wait()


def up_to_preparation(recipe, folder):
    """Runs the nodes that read and prepare data; gives the folder of their artifacts."""
    from ikelos.pipelines.tfx import build, compiled, node

    place = build.Place(str(folder / "artifacts"), str(folder / "served"), folder / "metadata" / "metadata.sqlite")
    made = compiled.compile_pipeline(build.pipeline(recipe, place))
    names = list(compiled.nodes(made))
    for name in names[: names.index("Preparation") + 1]:
        assert node.run(made, name, "a run") == "done"
    return folder / "artifacts"


def content(folder):
    """The files of examples and prepared data by their paths."""
    paths = [path for name in ("ExampleGen", "Preparation") for path in (folder / name).rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in paths
        if path.name != "identity.json" and ".system" not in path.parts and path.name != "statistics.pb"
    }


def test_the_portable_job_service_gives_the_artifacts_of_this_process(shrunk, service, tmp_path, monkeypatch):
    import tensorflow_data_validation as tfdv

    monkeypatch.setattr(records, "CHUNK_EXAMPLES", 20)
    recipe = shrunk("image_generation_vae", "pipeline.beam=[]", "data.source.allowed_faults=0.2")
    (tmp_path / "data" / "train" / "lying" / "02.png").write_bytes(b"broken")
    here = up_to_preparation(recipe, tmp_path / "here")
    before = service.jobs()
    monkeypatch.setenv("IKELOS_CACHE", str(tmp_path / "another cache"))
    recipe = shrunk("image_generation_vae", f"pipeline.beam={service.flags}", "data.source.allowed_faults=0.2")
    (tmp_path / "data" / "train" / "lying" / "02.png").write_bytes(b"broken")
    there = up_to_preparation(recipe, tmp_path / "there")
    # One for reading, some for the statistics, and one for each split that is prepared.
    assert len(service.jobs()) - len(before) > 4
    assert set(service.jobs()) == {"DONE"}
    assert content(there) == content(here)
    names = {path.rpartition("/")[2] for path in content(here)}
    assert {"COMPLETE", "examples.json", "examples-00002", "image.bin", "manifest.json", "classes.json"} <= names
    for split in SPLITS:
        found = [
            tfdv.load_stats_binary(str(path)).datasets[0]
            for folder in (here, there)
            for path in (folder / "StatisticsGen" / "statistics").glob(f"*/Split-{split}/FeatureStats.pb")
        ]
        assert found[0].num_examples == found[1].num_examples == 2 * IMAGES[split]


def fill_the_disk(_):
    raise OSError(errno.ENOSPC, "No space left on device", "a file")


def check_positive(number):
    if number < 0:
        raise UserError(f"`number` must be positive. Received: number={number}")
    return [number, "\udcff"]


def test_results_come_in_order_and_an_error_keeps_its_words(tmp_path):
    import apache_beam

    from ikelos.pipelines.tfx import beam

    each = beam.each(apache_beam.Pipeline(argv=[]), str(tmp_path / "staging"))
    assert list(each(check_positive, range(12))) == [[number, "\udcff"] for number in range(12)]
    assert list(each(check_positive, [])) == []
    with pytest.raises(UserError, match=r"^`number` must be positive\. Received: number=-2$"):
        list(each(check_positive, [1, -2, 3]))
    with pytest.raises(OSError, match="No space left") as raised:
        list(each(fill_the_disk, [1]))
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, "a file")


def test_a_data_set_that_uses_beam_is_prepared_with_its_options(service, tmp_path):
    import apache_beam
    import tensorflow_datasets as tfds
    from apache_beam.options.pipeline_options import PipelineOptions

    class IkelosBeam(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")
        pkg_dir_path = tmp_path  # where descriptions and checksums would be

        def _info(self):
            features = tfds.features.FeaturesDict({"text": tfds.features.Text()})
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            return {split: self._generate_examples(split) for split in SPLITS}

        def _generate_examples(self, split):
            return apache_beam.Create(range(5)) | apache_beam.Map(lambda index: (index, {"text": f"{split} {index}"}))

    before = len(service.jobs())
    source = Source(tfds="ikelos_beam", splits={split: split for split in SPLITS}, data_dir=str(tmp_path))
    with sources.beam_options(PipelineOptions(service.flags)):
        builder = sources.prepared(source, sources.open_tfds(source))
    assert len(service.jobs()) > before
    found = [example["text"].decode() for _, example in sources.examples(source, builder, "train")]
    assert sorted(found) == [f"train {index}" for index in range(5)]
