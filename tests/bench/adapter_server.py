"""llama.cpp's server as the site starts it, with LoRA adapters beside the base's file: the child of a bench."""

from typing import Any

from chat.engines import llamacpp_server


def serve(config: dict[str, Any]) -> Any:
    """`config["adapters"]`: files, whose places in the list requests name; without a name the base answers."""
    import xllamacpp

    params = llamacpp_server.parameters(config)
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in config["adapters"]]
    params.lora_init_without_apply = True
    return xllamacpp.Server(params)


if __name__ == "__main__":
    llamacpp_server.main(serve)
