"""Prints facts about the installed TensorFlow as JSON, for CMake and for the record that `dispatch.py` reads."""

import json
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf

print(
    json.dumps(
        {
            "version": tf.__version__,
            "git_version": tf.version.GIT_VERSION,
            "cxx11_abi": int(tf.sysconfig.CXX11_ABI_FLAG),
            "include": tf.sysconfig.get_include(),
            "lib": tf.sysconfig.get_lib(),
            "compile_flags": [flag for flag in tf.sysconfig.get_compile_flags() if not flag.startswith("-I")],
        }
    )
)
