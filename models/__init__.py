"""Arrays in, risks out: features, the LSTM, training and scoring. Knows nothing of Kafka."""
