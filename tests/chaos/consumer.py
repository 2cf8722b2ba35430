"""A consumer process of the campaign: the real one, with an encoder that needs no model.

Run as `python -m tests.chaos.consumer KIND`; settings come from the environment.
"""

import sys

from services.consumers.main import run_consumer
from services.settings.load import load_settings
from services.text.protocol import HashingEncoder

if __name__ == "__main__":
    run_consumer(sys.argv[1], load_settings(), HashingEncoder)
