//! The sink as a whole, against webhooks that are threads of the test.
