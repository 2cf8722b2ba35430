"""The served log: a share of the answers, with the features that they rest on, in the topic `<prefix>.ranked`."""
