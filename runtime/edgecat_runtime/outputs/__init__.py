"""Outputs for answers: functions, windows, files, events, MQTT and systemd."""
