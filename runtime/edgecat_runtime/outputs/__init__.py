"""What takes answers: functions, windows, files, events, MQTT and systemd."""
