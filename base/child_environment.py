"""The environment of child processes that compute: the variables on a list, and no others of the site's or host's."""

import os
from collections.abc import Collection, Mapping

HUB_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""They open gated models to whoever holds them; only what fetches a model needs one."""
RAY_TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105 (the name of a variable)
"""With it one runs any command in the cluster; only what sends jobs there needs it."""
ALLOWED = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP"),
        *("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"),
        *("PYTHONWARNINGS", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "XDG_CACHE_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("HF_HOME", "HF_ENDPOINT", "TOKENIZERS_PARALLELISM", "CUBLAS_WORKSPACE_CONFIG"),
        *("CHAMSAE_SITE", "CHAMSAE_LAUNCHED_BY"),  # whose process it is, and what started it
        *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"),
    }
)
ALLOWED_BEGINNINGS = (
    *("LC_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "GOMP_", "NUMEXPR_", "GGML_", "LLAMA_"),
    *("CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "TRITON_"),
    *("ROCR_", "HIP_", "HSA_", "AMD_", "ZE_", "ONEAPI_", "ASCEND_", "ACCELERATE_", "FSDP_"),
    *("HF_HUB_", "TRANSFORMERS_", "COVERAGE_"),
)
"""Of variables by which libraries and drivers are set up. None of them is a secret."""
ALWAYS = {"USE_HUB_KERNELS": "NO"}
"""transformers from 5.25 on would replace a model's layers by native code that it downloads from the hub."""
OF_DOWNLOADS = (
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX", "PIP_FIND_LINKS", "PIP_CERT", "PIP_TRUSTED_HOST"),
    *("PIP_CONFIG_FILE", "PIP_PROXY"),
)
"""Where a fetch goes through; an address of these may hold a password."""


def child_environment(more: Mapping[str, str], *, needed: Collection[str] = ()) -> dict[str, str]:
    """What of this process's environment is on the list or `needed`, and `more`."""
    return {k: value for k, value in os.environ.items() if is_allowed(k) or k in needed} | ALWAYS | dict(more)


def is_allowed(name: str) -> bool:
    return name in ALLOWED or name.startswith(ALLOWED_BEGINNINGS)
