"""The served log: a sample of the answers, with the features behind them, in the topic `<prefix>.ranked`."""
