"""The API, described: an OpenAPI 3.1 document and the page made of it. One module for each family of endpoints.

`document.describe` joins the families to the paths that are served. It knows the vocabulary alone.
"""
