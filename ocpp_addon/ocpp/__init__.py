"""The protocol: frames, schemas and the conversation of one charger; pure, without any I/O."""
