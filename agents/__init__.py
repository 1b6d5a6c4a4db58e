"""Faust workers: the stream, its state and its guarantees; decisions are pure and know no Kafka."""
