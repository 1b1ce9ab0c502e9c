"""Recipes as TFX pipelines, on one machine, on Airflow and on Kubeflow Pipelines.

`steps` does the work of the nodes, by the phases that `ikelos run` calls; `beam` distributes some of it, and `slices`
measures parts of the test data. `components` are the nodes as TFX sees them, and `build` joins them. `compiled` writes
a pipeline into a file, from which `node` runs one node, whichever scheduler asks for it. `metadata` lists runs,
`served` traces a served model to its data, `requests` reads logged requests, and `schemas` proposes a schema. All but
`steps`, `slices`, `requests`, `partial`, `storage`, `push`, `served`, `airflow` and `needs` import TFX or its
libraries, which the extra `tfx` installs; `slices` imports them when it measures.
"""
