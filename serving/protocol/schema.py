"""The messages, enumerations and services of TensorFlow Serving's gRPC API, as tables.

Names, numbers and types are those of the .proto files of TensorFlow Serving, TensorFlow and gRPC. A field that is not
in the tables survives as an unknown field when a message is read and written again. These are left out:

- fields that only TensorFlow needs, of `MetaGraphDef`, `ConfigProto`, `RunOptions` and resource handles, because
  their types need hundreds of others;
- fields that the open-source server does not read: how it polls folders, options of streamed predictions, sampling per
  task;
- `PredictionLog.session_run_log`, a request by the names of the graph's tensors, without a signature.

A field is written as in a .proto file, after `oneof NAME:` if it belongs to one. A type that begins with a capital
letter is of the same package; a type of another package has its full name.
"""

# `{package: {message: fields}}`
MESSAGES: dict[str, dict[str, str]] = {
    "tensorflow": {
        "TensorShapeProto": "repeated TensorShapeProto.Dim dim = 2; bool unknown_rank = 3",
        "TensorShapeProto.Dim": "int64 size = 1; string name = 2",
        "TensorProto": """
            DataType dtype = 1; TensorShapeProto tensor_shape = 2; int32 version_number = 3;
            bytes tensor_content = 4; repeated int32 half_val = 13; repeated float float_val = 5;
            repeated double double_val = 6; repeated int32 int_val = 7; repeated bytes string_val = 8;
            repeated float scomplex_val = 9; repeated int64 int64_val = 10; repeated bool bool_val = 11;
            repeated double dcomplex_val = 12; repeated uint32 uint32_val = 16; repeated uint64 uint64_val = 17;
            bytes float8_val = 18""",
        "TensorInfo": """
            oneof encoding: string name = 1; oneof encoding: TensorInfo.CooSparse coo_sparse = 4;
            oneof encoding: TensorInfo.CompositeTensor composite_tensor = 5; DataType dtype = 2;
            TensorShapeProto tensor_shape = 3""",
        "TensorInfo.CooSparse": """
            string values_tensor_name = 1; string indices_tensor_name = 2; string dense_shape_tensor_name = 3""",
        "TensorInfo.CompositeTensor": "repeated TensorInfo components = 2",
        "SignatureDef": """
            map<string, TensorInfo> inputs = 1; map<string, TensorInfo> outputs = 2; string method_name = 3;
            map<string, TensorProto> defaults = 4""",
        "AssetFileDef": "TensorInfo tensor_info = 1; string filename = 2",
        "MetaGraphDef": """
            MetaGraphDef.MetaInfoDef meta_info_def = 1; map<string, SignatureDef> signature_def = 5;
            repeated AssetFileDef asset_file_def = 6""",
        "MetaGraphDef.MetaInfoDef": """
            string meta_graph_version = 1; repeated string tags = 4; string tensorflow_version = 5;
            string tensorflow_git_version = 6; bool stripped_default_attrs = 7;
            map<string, string> function_aliases = 8""",
        "SavedModel": "int64 saved_model_schema_version = 1; repeated MetaGraphDef meta_graphs = 2",
        "ConfigProto": "map<string, int32> device_count = 1",
        "RunOptions": "int64 timeout_in_ms = 2",
        "BytesList": "repeated bytes value = 1",
        "FloatList": "repeated float value = 1",
        "Int64List": "repeated int64 value = 1",
        "Feature": """
            oneof kind: BytesList bytes_list = 1; oneof kind: FloatList float_list = 2;
            oneof kind: Int64List int64_list = 3""",
        "Features": "map<string, Feature> feature = 1",
        "Example": "Features features = 1",
    },
    "tensorflow.serving": {
        "ModelSpec": """
            string name = 1; oneof version_choice: google.protobuf.Int64Value version = 2;
            oneof version_choice: string version_label = 4; string signature_name = 3""",
        "PredictRequest": """
            ModelSpec model_spec = 1; map<string, tensorflow.TensorProto> inputs = 2;
            repeated string output_filter = 3""",
        "PredictResponse": "ModelSpec model_spec = 2; map<string, tensorflow.TensorProto> outputs = 1",
        "SignatureDefMap": "map<string, tensorflow.SignatureDef> signature_def = 1",
        "GetModelMetadataRequest": "ModelSpec model_spec = 1; repeated string metadata_field = 2",
        "GetModelMetadataResponse": "ModelSpec model_spec = 1; map<string, google.protobuf.Any> metadata = 2",
        "StatusProto": "tensorflow.error.Code error_code = 1; string error_message = 2",
        "GetModelStatusRequest": "ModelSpec model_spec = 1",
        "ModelVersionStatus": "int64 version = 1; ModelVersionStatus.State state = 2; StatusProto status = 3",
        "GetModelStatusResponse": "repeated ModelVersionStatus model_version_status = 1",
        "FileSystemStoragePathSourceConfig": "",
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy": """
            oneof policy_choice: FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest latest = 100;
            oneof policy_choice: FileSystemStoragePathSourceConfig.ServableVersionPolicy.All all = 101;
            oneof policy_choice: FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific specific = 102""",
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy.Latest": "uint32 num_versions = 1",
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy.All": "",
        "FileSystemStoragePathSourceConfig.ServableVersionPolicy.Specific": "repeated int64 versions = 1",
        "LogCollectorConfig": "string type = 1; string filename_prefix = 2",
        "SamplingConfig": "double sampling_rate = 1; int32 attributes = 2",
        "LoggingConfig": """
            LogCollectorConfig log_collector_config = 1; SamplingConfig sampling_config = 2;
            google.protobuf.Any custom_logging_config = 3""",
        "ModelConfig": """
            string name = 1; string base_path = 2; ModelType model_type = 3; string model_platform = 4;
            FileSystemStoragePathSourceConfig.ServableVersionPolicy model_version_policy = 7;
            map<string, int64> version_labels = 8; LoggingConfig logging_config = 6""",
        "ModelConfigList": "repeated ModelConfig config = 1",
        "ModelServerConfig": """
            oneof config: ModelConfigList model_config_list = 1;
            oneof config: google.protobuf.Any custom_model_config = 2""",
        "ReloadConfigRequest": "ModelServerConfig config = 1; repeated string metric_names = 2",
        "ReloadConfigResponse": "StatusProto status = 1; repeated Metric metric = 2",
        "Metric": "string name = 1; oneof value_increase: int64 int64_value_increase = 2",
        "ExampleList": "repeated tensorflow.Example examples = 1",
        "ExampleListWithContext": "repeated tensorflow.Example examples = 1; tensorflow.Example context = 2",
        "Input": """
            oneof kind: ExampleList example_list = 1;
            oneof kind: ExampleListWithContext example_list_with_context = 2""",
        "Class": "string label = 1; float score = 2",
        "Classifications": "repeated Class classes = 1",
        "ClassificationResult": "repeated Classifications classifications = 1",
        "ClassificationRequest": "ModelSpec model_spec = 1; Input input = 2",
        "ClassificationResponse": "ModelSpec model_spec = 2; ClassificationResult result = 1",
        "Regression": "float value = 1",
        "RegressionResult": "repeated Regression regressions = 1",
        "RegressionRequest": "ModelSpec model_spec = 1; Input input = 2",
        "RegressionResponse": "ModelSpec model_spec = 2; RegressionResult result = 1",
        "InferenceTask": "ModelSpec model_spec = 1; string method_name = 2",
        "InferenceResult": """
            ModelSpec model_spec = 1; oneof result: ClassificationResult classification_result = 2;
            oneof result: RegressionResult regression_result = 3""",
        "MultiInferenceRequest": "repeated InferenceTask tasks = 1; Input input = 2",
        "MultiInferenceResponse": "repeated InferenceResult results = 1",
        "LogMetadata": """
            ModelSpec model_spec = 1; SamplingConfig sampling_config = 2; repeated string saved_model_tags = 3;
            int64 timestamp_secs = 4; string dc = 5; string request_origin = 6; string request_criticality = 7;
            int64 safe_aggregation_privacy_key = 8""",
        "ClassifyLog": "ClassificationRequest request = 1; ClassificationResponse response = 2",
        "RegressLog": "RegressionRequest request = 1; RegressionResponse response = 2",
        "PredictLog": "PredictRequest request = 1; PredictResponse response = 2",
        "MultiInferenceLog": "MultiInferenceRequest request = 1; MultiInferenceResponse response = 2",
        "PredictionLog": """
            LogMetadata log_metadata = 1; oneof log_type: ClassifyLog classify_log = 2;
            oneof log_type: RegressLog regress_log = 3; oneof log_type: PredictLog predict_log = 6;
            oneof log_type: MultiInferenceLog multi_inference_log = 4""",
    },
    "grpc.health.v1": {
        "HealthCheckRequest": "string service = 1",
        "HealthCheckResponse": "HealthCheckResponse.ServingStatus status = 1",
    },
}

# `{package: {enumeration: values}}`. References (DT_FLOAT_REF = 101 and so on) are left out: only graphs have them.
ENUMS: dict[str, dict[str, str]] = {
    "tensorflow": {
        "DataType": """
            DT_INVALID = 0; DT_FLOAT = 1; DT_DOUBLE = 2; DT_INT32 = 3; DT_UINT8 = 4; DT_INT16 = 5; DT_INT8 = 6;
            DT_STRING = 7; DT_COMPLEX64 = 8; DT_INT64 = 9; DT_BOOL = 10; DT_QINT8 = 11; DT_QUINT8 = 12;
            DT_QINT32 = 13; DT_BFLOAT16 = 14; DT_QINT16 = 15; DT_QUINT16 = 16; DT_UINT16 = 17; DT_COMPLEX128 = 18;
            DT_HALF = 19; DT_RESOURCE = 20; DT_VARIANT = 21; DT_UINT32 = 22; DT_UINT64 = 23; DT_FLOAT8_E5M2 = 24;
            DT_FLOAT8_E4M3FN = 25; DT_FLOAT8_E4M3FNUZ = 26; DT_FLOAT8_E4M3B11FNUZ = 27; DT_FLOAT8_E5M2FNUZ = 28;
            DT_INT4 = 29; DT_UINT4 = 30; DT_INT2 = 31; DT_UINT2 = 32; DT_FLOAT4_E2M1FN = 33""",
    },
    "tensorflow.error": {
        "Code": """
            OK = 0; CANCELLED = 1; UNKNOWN = 2; INVALID_ARGUMENT = 3; DEADLINE_EXCEEDED = 4; NOT_FOUND = 5;
            ALREADY_EXISTS = 6; PERMISSION_DENIED = 7; UNAUTHENTICATED = 16; RESOURCE_EXHAUSTED = 8;
            FAILED_PRECONDITION = 9; ABORTED = 10; OUT_OF_RANGE = 11; UNIMPLEMENTED = 12; INTERNAL = 13;
            UNAVAILABLE = 14; DATA_LOSS = 15""",
    },
    "tensorflow.serving": {
        "ModelVersionStatus.State": "UNKNOWN = 0; START = 10; LOADING = 20; AVAILABLE = 30; UNLOADING = 40; END = 50",
        "ModelType": "MODEL_TYPE_UNSPECIFIED = 0; TENSORFLOW = 1; OTHER = 2",
    },
    "grpc.health.v1": {
        "HealthCheckResponse.ServingStatus": "UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3",
    },
}

# `{package: {service: {method: (request, response)}}}`. Each method takes one message and returns one.
SERVICES: dict[str, dict[str, dict[str, tuple[str, str]]]] = {
    "tensorflow.serving": {
        "PredictionService": {
            "Classify": ("ClassificationRequest", "ClassificationResponse"),
            "Regress": ("RegressionRequest", "RegressionResponse"),
            "Predict": ("PredictRequest", "PredictResponse"),
            "MultiInference": ("MultiInferenceRequest", "MultiInferenceResponse"),
            "GetModelMetadata": ("GetModelMetadataRequest", "GetModelMetadataResponse"),
        },
        "ModelService": {
            "GetModelStatus": ("GetModelStatusRequest", "GetModelStatusResponse"),
            "HandleReloadConfigRequest": ("ReloadConfigRequest", "ReloadConfigResponse"),
        },
    },
    "grpc.health.v1": {"Health": {"Check": ("HealthCheckRequest", "HealthCheckResponse")}},
}
