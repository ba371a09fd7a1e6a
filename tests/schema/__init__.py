"""The OpenAPI document, held to a gateway that runs."""
