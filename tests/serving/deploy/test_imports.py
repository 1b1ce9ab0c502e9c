import subprocess
import sys


def test_importing_deployments_imports_neither_tensorflow_nor_what_renders():
    code = (
        "import sys; import ikelos.serving.deploy; print(sorted({'tensorflow', 'jinja2', 'httpx'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
