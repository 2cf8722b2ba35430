"""`crossrec data check`: finds errors and anomalies in a data set before training; the entry is data_check.py."""
