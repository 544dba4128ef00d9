//! MQTT 3.1.1 and 5: bytes to packets and the session state machine.
