//! Registry, stores and the service REST API.
