#!/bin/sh
# Adds the native ops to those that TensorFlow Serving links: SUPPORTED_TENSORFLOW_OPS in its file
# tensorflow_serving/model_servers/BUILD, the argument.
set -eu
label='//tensorflow_serving/custom_ops/ikelos:ops'
sed -i "/^SUPPORTED_TENSORFLOW_OPS = /,/^\]\$/ s|^\]\$|    \"$label\",\n]|" "$1"
if [ "$(grep -c "$label" "$1")" != 1 ]; then
  echo "$1 must have one list SUPPORTED_TENSORFLOW_OPS without $label" >&2
  exit 1
fi
