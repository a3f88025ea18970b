"""The API's description: endpoint metadata, the OpenAPI document, and the page made from it."""
