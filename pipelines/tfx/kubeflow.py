"""A pipeline as a specification for Kubeflow Pipelines 2 and Vertex AI Pipelines."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base import base_component
from tfx.orchestration import pipeline as pipelines
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

from ikelos.pipelines.recipe.sections import Pipeline
from ikelos.serving import files

_Resources = pipeline_spec_pb2.PipelineDeploymentConfig.PipelineContainerSpec.ResourceSpec


def write(pipeline: pipelines.Pipeline, settings: Pipeline, image: str, states: Mapping[str, str], path: Path) -> None:
    """Writes the specification, with the resources of the recipe for each node.

    Args:
        pipeline: The pipeline.
        settings: Its recipe's section `pipeline`.
        image: Container image with Ikelos and TFX (`tfx_configs/kubeflow/Dockerfile`).
        states: Defaults of the runtime parameters by name.
        path: File to write, YAML.
    """
    resources = _Resources(cpu_limit=settings.cpus, memory_limit=settings.memory_gib)
    for node in pipeline.components:
        if isinstance(node, base_component.BaseComponent):
            node.with_platform_config(resources)
    config = kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_image=image, use_pipeline_spec_2_1=True)
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(config)
    specification = runner.run(pipeline, write_out=False)["pipelineSpec"]
    # TFX keeps the values of parameters beside the specification, which has no place for them in YAML.
    for name, state in states.items():
        specification["root"]["inputDefinitions"]["parameters"][name] |= {"defaultValue": state, "isOptional": True}
    files.write(path, yaml.safe_dump(specification))
