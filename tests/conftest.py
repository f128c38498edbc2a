"""What all tests share: the hypothesis profile, the rule on skipping, a tiny model, the command line, databases."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no bug of the code under test.
settings.register_profile("rewardkit", deadline=None)
settings.load_profile("rewardkit")

CHATML = (
    "{% for m in messages %}<|s|>{{ m['role'] }}\n{{ m['content'] }}<|e|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|s|>assistant\n{% endif %}"
)
SKIPPED = pytest.StashKey[list[str]]()


def pytest_configure(config):
    # A shell ignores Ctrl-C for what it starts in the background, and what that starts ignores it too.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.stash[SKIPPED] = []
    config.pluginmanager.register(_SkipWatch(config.stash[SKIPPED]))


class _SkipWatch:
    """Keeps the name of what is skipped; a test that is expected to fail is not skipped."""

    def __init__(self, names):
        self.names = names

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail"):
            self.names.append(report.nodeid)

    def pytest_collectreport(self, report):
        if report.skipped:
            self.names.append(report.nodeid)


def pytest_sessionfinish(session):
    if _skipping_fails(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if _skipping_fails(config):
        terminalreporter.section("skipped, although REWARDKIT_NO_SKIP=1 asks for every test", red=True)
        for name in config.stash[SKIPPED]:
            terminalreporter.line(name)


def _skipping_fails(config):
    return os.environ.get("REWARDKIT_NO_SKIP") == "1" and bool(config.stash[SKIPPED])


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Build a tiny random Llama whose tokens are bytes: for shapes and equalities, never for claims about quality."""

    def build(*, context=1024, layers=1, **tokens):
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM

        folder = tmp_path_factory.mktemp("tiny")
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=300,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=layers,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=context,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
        _byte_tokenizer(**(tokens or {"pad_token": "<|p|>"})).save_pretrained(folder)
        return folder

    return build


@pytest.fixture(scope="session")
def padded():
    """Pad sequences on the right, as others do: token ids and attention mask, both (sequences, longest)."""

    def pad(sequences, pad_id):
        import torch

        longest = max(map(len, sequences))
        ids = torch.tensor([[*each, *[pad_id] * (longest - len(each))] for each in sequences])
        mask = torch.tensor([[1] * len(each) + [0] * (longest - len(each)) for each in sequences])
        return ids, mask

    return pad


@pytest.fixture(scope="session")
def byte_tokenizer():
    """Build a tokenizer whose tokens are bytes, with a chat template: `byte_tokenizer(template, unk_token=…)`."""

    def build(template=CHATML, **tokens):
        tokenizer = _byte_tokenizer(**tokens)
        tokenizer.chat_template = template
        return tokenizer

    return build


def _byte_tokenizer(**tokens):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = {"bos_token": "<|s|>", "eos_token": "<|e|>", **tokens}
    return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=CHATML, **special)


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def rewardkit(monkeypatch, capsys):
    """Call the command line in this process: `rewardkit("train", path)`."""
    from rewardkit.cli import main

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["rewardkit", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = capsys.readouterr()
        return Ended(stop.value.code or 0, out, err)

    return call


@pytest.fixture
def as_user():
    """Give up root's rights for a while, before which no file is locked: `with as_user(): …`."""

    @contextmanager
    def user():
        root = os.geteuid() == 0
        if root:
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            yield
        finally:
            if root:
                os.seteuid(0)

    return user


@pytest.fixture
def open_folder():
    """A folder that every user may enter, which tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="rewardkit-open-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


POSTGRES_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
NUMBERS = count()


class PostgresServer:
    """A private server on loopback, run by the user postgres where the tests are root."""

    def __init__(self, binaries, folder):
        self.binaries, self.data = binaries, folder / "data"
        self.root = os.geteuid() == 0
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        if self.root:
            user = pwd.getpwnam("postgres")
            os.chown(folder, user.pw_uid, user.pw_gid)
        self._run("initdb", "-D", str(self.data), "-A", "trust", "-U", "postgres", "-E", "UTF8")
        settings_ = f"-c unix_socket_directories={folder} -c listen_addresses=127.0.0.1 -c fsync=off -p {self.port}"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(folder / "log"), "-o", settings_, "start")

    def stop(self):
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")

    def _run(self, program, *arguments):
        command = [str(self.binaries / program), *arguments]
        if self.root:
            command = ["runuser", "-u", "postgres", "--", *command]
        # The server inherits what it is given: files in place of pipes, or reading them would never end.
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=120, cwd="/")

    @contextmanager
    def database(self):
        import psycopg

        name = f"test_{next(NUMBERS)}"
        with psycopg.connect(host="127.0.0.1", port=self.port, user="postgres", autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
            yield f"postgresql://postgres@127.0.0.1:{self.port}/{name}"
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def postgres():
    if not POSTGRES_BINARIES:
        pytest.skip("needs a PostgreSQL server: apt-get install postgresql")
    pytest.importorskip("psycopg", reason='needs the extra postgres: pip install "rewardkit[postgres]"')
    folder = Path(tempfile.mkdtemp(prefix="rewardkit-postgres-"))
    try:
        server = PostgresServer(POSTGRES_BINARIES[-1], folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def new_database(request, tmp_path):
    """Name databases that do not hold anything yet, all of one kind: files, or URLs of a real server."""
    if request.param == "sqlite":
        yield lambda: str(tmp_path / f"store-{next(NUMBERS)}.db")
        return
    server = request.getfixturevalue("postgres")
    with ExitStack() as stack:
        yield lambda: stack.enter_context(server.database())


@pytest.fixture
def database_url(new_database):
    """A database that does not hold anything yet: a file's name, or a URL."""
    return new_database()


@pytest.fixture(scope="session")
def add_comparisons():
    """Add comparisons that are made here to a store; return the responses of each, by its id."""
    from rewardkit.types import Comparison, Message, Prompt, Response

    def add(store, count, *, tag=""):
        records, added = [], {}
        for number in range(count):
            prompt = Prompt.of((Message(role="user", content=f"{tag}prompt {number}"),))
            first, second = (Response.of(prompt.id, f"{side} {number}") for side in ("one", "other"))
            comparison = Comparison.of(prompt.id, first.id, second.id)
            records += [prompt, first, second, comparison]
            added[comparison.id] = comparison.response_a, comparison.response_b
        store.add(records)
        return added

    return add


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real labels: REWARDKIT_SHARED, or ../shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("REWARDKIT_SHARED", default))
    if not folder.is_dir():
        pytest.skip(f"needs the real labels in {folder}, or the folder that REWARDKIT_SHARED names")
    return folder
