//! Connection strings, SAS tokens and MQTT user names of the hub.
