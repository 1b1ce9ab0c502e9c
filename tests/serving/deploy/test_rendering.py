import dataclasses
import os
import pathlib
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from ikelos.serving.deploy import Platform, Served, Target, Tls, render
from ikelos.serving.graph import NATIVE

# tensorflow_serving/servables/tensorflow/session_bundle_config.proto and config/{monitoring,ssl}_config.proto, which
# the package tensorflow-serving-api leaves out: message -> [(field, number, type, repeated)].
_MESSAGES = {
    "Int64Value": [("value", 1, "int64", False)],
    "BatchingParameters": [
        ("max_batch_size", 1, "Int64Value", False),
        ("batch_timeout_micros", 2, "Int64Value", False),
        ("max_enqueued_batches", 3, "Int64Value", False),
        ("num_batch_threads", 4, "Int64Value", False),
        ("allowed_batch_sizes", 6, "int64", True),
        ("pad_variable_length_inputs", 7, "bool", False),
    ],
    "PrometheusConfig": [("enable", 1, "bool", False), ("path", 2, "string", False)],
    "MonitoringConfig": [("prometheus_config", 1, "PrometheusConfig", False)],
    "SSLConfig": [
        ("server_key", 1, "string", False),
        ("server_cert", 2, "string", False),
        ("custom_ca", 3, "string", False),
        ("client_verify", 4, "bool", False),
    ],
}
KUBERNETES = Target(Platform.KUBERNETES, claim="models", host="models.example.org")
KSERVE = Target(Platform.KSERVE, storage="gs://bucket/models")
TLS = Tls("certificate\n", "key\n", None)


@pytest.fixture(scope="module")
def parse():
    """Returns a function that parses a text as a message of `_MESSAGES`."""
    kind = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="config_test.proto", package="test", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, number, type_name, repeated in fields:
            label = kind.LABEL_REPEATED if repeated else kind.LABEL_OPTIONAL
            field = message.field.add(name=field_name, number=number, label=label)
            if type_name in _MESSAGES:
                field.type, field.type_name = kind.TYPE_MESSAGE, f".test.{type_name}"
            else:
                field.type = kind.Type.Value(f"TYPE_{type_name.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)

    def parse(name, path):
        message = message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))()
        return text_format.Parse(path.read_text(), message)

    return parse


def compose(folder):
    return yaml.safe_load((folder / "docker-compose.yml").read_text())["services"]


def manifests(folder):
    return {
        document["kind"]: document
        for path in folder.glob("*.yaml")
        for document in yaml.safe_load_all(path.read_text())
        if document
    }


def flags(arguments):
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def test_batches_have_the_sizes_of_the_warm_up_and_the_numbers_of_the_settings(folder, parse):
    batching = parse("BatchingParameters", folder / "config" / "batching.config")
    assert batching.max_batch_size.value == 8
    assert batching.batch_timeout_micros.value == 1000
    assert batching.max_enqueued_batches.value == 64
    assert batching.num_batch_threads.value == 2
    assert list(batching.allowed_batch_sizes) == [1, 2, 4, 8]
    assert not batching.pad_variable_length_inputs


def test_metrics_are_exposed(folder, parse):
    config = parse("MonitoringConfig", folder / "config" / "monitoring.config").prometheus_config
    assert config.enable
    assert config.path == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("client_ca", [None, "issuer's\n<&>\n"])
def test_certificates_are_written_for_the_server_alone(models, settings, tmp_path, parse, client_ca):
    tls = Tls("certificate\nof two lines\n", "key\n", client_ca)
    folder = render(models, settings, Target(Platform.COMPOSE, tls=tls), tmp_path / "tls")
    config = parse("SSLConfig", folder / "tls" / "ssl.config")
    assert (config.server_cert, config.server_key) == (tls.certificate, tls.key)
    assert config.custom_ca == (client_ca or "")
    assert config.client_verify == (client_ca is not None)
    secrets = {path.name: path for path in (folder / "tls").iterdir()}
    assert set(secrets) == {"ssl.config", "tls.crt", "tls.key"} | ({"client_ca.crt"} if client_ca else set())
    assert {path.stat().st_mode & 0o777 for path in secrets.values()} == {0o600}
    user = int(compose(folder)["serving"]["user"].partition(":")[0])
    assert {path.stat().st_uid for path in secrets.values()} == {user}


def test_the_server_gets_flags_that_it_has(folder):
    """The names are those of tensorflow_serving/model_servers/main.cc."""
    assert flags(compose(folder)["serving"]["command"]) == {
        "allow_version_labels_for_unavailable_models": "true",
        "batching_parameters_file": "/config/batching.config",
        "enable_batching": "true",
        "file_system_poll_wait_seconds": "3",
        "model_config_file": "/config/models.config",
        "model_config_file_poll_wait_seconds": "3",
        "monitoring_config_file": "/config/monitoring.config",
        "port": "8500",
        "rest_api_port": "8501",
        "rest_api_timeout_in_ms": "30000",
        "tensorflow_session_parallelism": "2",
    }


def test_containers_may_do_no_more_than_they_must(folder):
    for service in compose(folder).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert not service["user"].startswith("0:")
        assert all(mount["read_only"] for mount in service["volumes"])
        assert ":" in service["image"]
        assert {"mem_limit", "pids_limit"} <= set(service)
    serving = compose(folder)["serving"]
    assert serving["cpus"] == 1.5
    assert serving["mem_limit"] == "2560m"


def test_without_a_certificate_no_other_machine_is_let_in(folder, models, settings, tmp_path):
    ports = [port for service in compose(folder).values() for port in service["ports"]]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
    with_tls = render(models, settings, Target(Platform.COMPOSE, tls=TLS), tmp_path / "tls")
    assert compose(with_tls)["serving"]["ports"] == ["8500:8500", "127.0.0.1:8501:8501"]
    assert compose(with_tls)["proxy"]["ports"] == ["8443:8443"]
    assert flags(compose(with_tls)["serving"]["command"])["ssl_config_file"] == "/tls/ssl.config"


def test_every_base_path_is_mounted_where_the_server_looks(folder, models):
    mounts = {mount["target"]: mount["source"] for mount in compose(folder)["serving"]["volumes"]}
    assert mounts["/models/lm"] == str(models[0].base_path)
    assert mounts["/models/v.2"] == str(models[1].base_path).replace("$", "$$")  # Compose would replace $c
    assert mounts["/config"] == "./config"


def test_manifests_are_those_of_kubernetes(models, settings, tmp_path):
    folder = render(models, settings, KUBERNETES, tmp_path / "kubernetes")
    found = manifests(folder)
    kustomization = found.pop("Kustomization")
    for manifest in found.values():
        kubernetes_validate.validate(manifest, "1.37", strict=True)
    assert sorted(found) == [
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
    ]
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    named = [*kustomization["resources"], *(n for m in kustomization["configMapGenerator"] for n in m["files"])]
    assert set(named) == written - {"README.md", "releases.json", "kustomization.yaml"}


def test_the_parts_of_a_pod_fit_together(models, settings, tmp_path):
    found = manifests(render(models, settings, KUBERNETES, tmp_path / "kubernetes"))
    pod = found["Deployment"]["spec"]["template"]
    labels = pod["metadata"]["labels"]
    for kind, path in {
        "Deployment": ["selector", "matchLabels"],
        "Service": ["selector"],
        "PodDisruptionBudget": ["selector", "matchLabels"],
        "NetworkPolicy": ["podSelector", "matchLabels"],
    }.items():
        selector = found[kind]["spec"]
        for key in path:
            selector = selector[key]
        assert selector == labels, kind
    containers = pod["spec"]["containers"]
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    ports = {port["name"] for container in containers for port in container["ports"]}
    for container in containers:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert {"requests", "limits"} == set(container["resources"])
        assert "readinessProbe" in container
        assert "livenessProbe" in container
    assert pod["spec"]["securityContext"]["runAsNonRoot"]
    assert {port["targetPort"] for port in found["Service"]["spec"]["ports"]} <= ports
    assert {port["port"] for rule in found["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]} == ports
    assert found["NetworkPolicy"]["spec"]["egress"] == []
    scaler = found["HorizontalPodAutoscaler"]["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 5)
    # A request may take 30 seconds; the server does not wait for it when it is told to end.
    sleeps = [int(container["lifecycle"]["preStop"]["exec"]["command"][1]) for container in containers]
    assert sleeps == [40, 10]
    assert pod["spec"]["terminationGracePeriodSeconds"] > max(sleeps)
    names = {name: flag for name, flag in flags(containers[0]["args"]).items() if name.endswith("_file")}
    assert all(flag.startswith("/config/") for flag in names.values())


def test_kubernetes_gets_the_certificate_as_a_secret(models, settings, tmp_path):
    target = Target(Platform.KUBERNETES, claim="models", tls=TLS)
    folder = render(models, settings, target, tmp_path / "kubernetes")
    found = manifests(folder)
    assert "Ingress" not in found
    assert [path.name for path in (folder / "tls").iterdir()] == ["ssl.config"]
    assert found["Kustomization"]["secretGenerator"] == [{"name": "ikelos-serving-grpc", "files": ["tls/ssl.config"]}]
    kubernetes_validate.validate(found["Deployment"], "1.37", strict=True)
    assert "ssl" not in (folder / "proxy" / "nginx.conf").read_text()  # the Ingress ends TLS


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which renders kustomizations")
@pytest.mark.parametrize(
    "target", [KUBERNETES, Target(Platform.KUBERNETES, claim="m", tls=TLS), KSERVE], ids=["plain", "tls", "kserve"]
)
def test_kubectl_renders_the_folder(target, models, settings, tmp_path):
    kserve = target.platform is Platform.KSERVE
    folder = render(models[: 1 if kserve else 2], settings, target, tmp_path / "kubernetes")
    result = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True)
    for manifest in yaml.safe_load_all(result.stdout):
        if manifest["kind"] != "InferenceService":
            kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_kserve_gets_one_service_for_each_model(settings, tmp_path):
    """The keys are those of KServe's schema of v1beta1 InferenceService."""
    models = [Served(name, tmp_path, {}, batch_sizes=(8,)) for name in ("lm", "vae-2")]
    folder = render(models, settings, KSERVE, tmp_path / "kserve")
    services = [each for each in yaml.safe_load_all((folder / "inference_service.yaml").read_text()) if each]
    assert [service["metadata"]["name"] for service in services] == ["lm", "vae-2"]
    for service in services:
        assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
        # The mode in which KServe scales by the load of the processors.
        assert service["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "RawDeployment"}
        predictor = service["spec"]["predictor"]
        assert (predictor["scaleMetric"], predictor["scaleTarget"]) == ("cpu", 60)
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 5)
        model = predictor["model"]
        assert model["modelFormat"] == {"name": "tensorflow", "version": "2"}
        assert model["storageUri"] == f"gs://bucket/models/{service['metadata']['name']}"
        assert not {"port", "rest_api_port", "model_config_file"} & set(flags(model["args"]))  # KServe sets them
        assert model["resources"]["limits"] == {"cpu": "1500m", "memory": "2560Mi"}
    assert not (folder / "config" / "models.config").exists()
    busy = dataclasses.replace(settings, cpu_percent=101)
    with pytest.raises(ValueError, match=r"`cpu_percent` must be at most 100 for KServe. Received: cpu_percent=101"):
        render(models, busy, KSERVE, tmp_path / "busy")


@pytest.mark.parametrize("name", ["Lm", "l_m", "l.m", "2lm", "lm-"])
def test_kserve_refuses_a_name_that_kubernetes_refuses(name, settings, tmp_path):
    with pytest.raises(ValueError, match=rf"`name` must match .* for KServe. Received: name='{name}'"):
        render([Served(name, tmp_path, {}, batch_sizes=(8,))], settings, KSERVE, tmp_path / "kserve")


def test_batches_need_inputs_of_one_size(settings, tmp_path):
    varying = Served("lm", tmp_path, {"detokenize": ("tokens",)}, batch_sizes=(1, 8))
    target = Target(Platform.COMPOSE)
    with pytest.raises(
        ValueError, match=r"`batching` must be null for lm, .* 'detokenize', whose inputs vary .*: tokens"
    ):
        render([varying], settings, target, tmp_path / "a")
    without = dataclasses.replace(settings, batching=None)
    assert not (render([varying], without, target, tmp_path / "b") / "config" / "batching.config").exists()
    assert "enable_batching" not in flags(compose(tmp_path / "b")["serving"]["command"])
    padded = dataclasses.replace(settings.batching, pad_variable_length_inputs=True)
    render([varying], dataclasses.replace(settings, batching=padded), target, tmp_path / "c")


@pytest.mark.parametrize("others", [(), (1, 4)])
def test_batches_need_models_that_are_warmed_up_with_the_same_sizes(others, settings, tmp_path):
    models = [Served("lm", tmp_path, {}, batch_sizes=(1, 8)), Served("vae", tmp_path, {}, batch_sizes=others)]
    received = "lm: 1, 8; vae: " + (", ".join(map(str, others)) or "none")
    with pytest.raises(ValueError, match=f"`batching` must be null unless all .*`warmup_batch_sizes`.*{received}"):
        render(models, settings, Target(Platform.COMPOSE), tmp_path / "a")
    render(models, dataclasses.replace(settings, batching=None), Target(Platform.COMPOSE), tmp_path / "a")


@pytest.mark.parametrize("target", [Target(Platform.COMPOSE), KUBERNETES, KSERVE], ids=lambda x: x.platform)
def test_native_ops_need_an_image_that_has_them(target, settings, tmp_path):
    models = [Served("lm", tmp_path, {}, NATIVE, (1, 8))]
    with pytest.raises(ValueError, match=r"`image` must be .* native ops, .* image='tensorflow/serving:.*', models lm"):
        render(models, settings, target, tmp_path / "a")
    render(models, settings, dataclasses.replace(target, image="example.org/ours:1"), tmp_path / "a")


def test_a_folder_with_files_is_left_alone(folder, models, settings, tmp_path):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="`folder` must not exist or be empty, as labels may have moved"):
        render(models, settings, Target(Platform.COMPOSE), folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    (tmp_path / "empty").mkdir()
    render(models, settings, Target(Platform.COMPOSE), tmp_path / "empty")


def test_a_folder_appears_complete_or_not_at_all(models, settings, tmp_path, monkeypatch):
    def full(path, text, encoding):
        raise OSError(28, os.strerror(28))

    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(pathlib.Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        render(models, settings, Target(Platform.COMPOSE), tmp_path / "a")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("names", [(), ("lm", "lm")])
def test_models_have_different_names(names, settings, tmp_path):
    with pytest.raises(ValueError, match="`models` must be at least one, with different names"):
        render([Served(name, tmp_path, {}) for name in names], settings, Target(Platform.COMPOSE), tmp_path / "a")
