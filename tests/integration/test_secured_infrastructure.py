"""Kafka and Valkey that want passwords and certificates, met by every client that CrossRec has."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from kafka.errors import KafkaError
from pydantic import SecretStr

from crossrec.events.v1.events_pb2 import Entry, ScenarioUpdate
from services.consumers.dead_letter_topic import list_letters
from services.consumers.log import LogUnavailable
from services.consumers.main import consume
from services.consumers.rewind import end_offsets, require_stopped
from services.consumers.status import read_groups
from services.doctor.check import State
from services.doctor.reach import kafka_check, store_checks
from services.features.schema import build_schema
from services.gateway.kafka_publisher import KafkaPublisher
from services.gateway.main import build_intake
from services.runtime.infra.kafka import KafkaServer, default_cache_dir
from services.runtime.infra.ports import choose_port
from services.runtime.infra.process import wait_until
from services.runtime.infra.valkey import server_binary
from services.runtime.sections.infrastructure import KafkaSettings, StoreSettings
from services.runtime.security.connections import kafka_arguments, redis_arguments
from services.runtime.settings import Settings
from services.runtime.topics import create_topics, topic_specs
from services.store.connect import REPOSITORY, feast_environment, open_rows, open_rows_for_batches
from services.store.memory import MemoryRowStore
from services.store.protocol import StoreUnavailable
from tests.contract.certificates import Authority
from tests.contract.private import logs
from tests.integration.test_consumers import FakeEncoder
