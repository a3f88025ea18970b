"""What goes in and comes out, as models: they check requests, and the OpenAPI document is made from them."""
