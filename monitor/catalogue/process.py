"""The metrics that every program has of itself."""

from __future__ import annotations

from monitor.catalogue.metric import Metric

__all__ = ["CERTIFICATE_EXPIRY", "PROCESS_CATALOGUE"]

CERTIFICATE_EXPIRY = Metric(
    "sepsis_monitor_certificate_expiry_timestamp_seconds",
    "gauge",
    "seconds",
    "When the first certificate in a file expires by which this process connects to Kafka, since 1970, as the file was "
    "when the process started: client, of kafka.ssl_certfile; ca, of kafka.ssl_cafile.",
    labels=("file",),
)
# What prometheus-client's collector says of a process, whichever of the programs it is.
PROCESS_CATALOGUE: tuple[Metric, ...] = (
    Metric("sepsis_monitor_process_cpu_seconds_total", "counter", "seconds", "User and system time of the process."),
    Metric("sepsis_monitor_process_resident_memory_bytes", "gauge", "bytes", "Memory that the process takes."),
    Metric("sepsis_monitor_process_virtual_memory_bytes", "gauge", "bytes", "Addresses that the process has mapped."),
    Metric("sepsis_monitor_process_start_time_seconds", "gauge", "seconds", "When the process started, since 1970."),
    Metric("sepsis_monitor_process_open_fds", "gauge", "files", "Files and connections that the process has open."),
    Metric("sepsis_monitor_process_max_fds", "gauge", "files", "How many it may have open."),
)
