"""RabbitMQ with a quorum queue and publisher confirms, which come after its fsync; the client is
pika's asynchronous connection, with which confirms can be pipelined."""

from pathlib import Path

from bench.peers import installing
from bench.peers.peer import Server, spare_port
from bench.peers.python_peer import PythonPeer

SERVER = "/usr/lib/rabbitmq/lib"
ERLANG = "/usr/lib/erlang"


class RabbitMQ(PythonPeer):
    title = "RabbitMQ, quorum queue, confirms"
    promise = "fsync"
    bulk = "1,000 unconfirmed"
    drain = "prefetch 1,000, one ack for many"
    name = "pika"
    requirements = ("pika",)

    def __init__(self) -> None:
        super().__init__()
        self._names: Server | None = None

    def install(self) -> None:
        installing.debian("rabbitmq-server", SERVER)
        _say_where_erlang_is()
        super().install()

    def version(self) -> str:
        return f"{_home().name.rpartition('-')[2]}, pika {super().version()}"

    def start(self, directory: Path) -> None:
        """With ports and a name of its own: also the port by which Erlang nodes find each other."""
        port, names_port = spare_port(), spare_port()
        self._names = Server(
            [installing.binary("epmd"), "-address", "127.0.0.1", "-port", str(names_port)],
            names_port,
            directory / "epmd.log",
            installing.environment(),
        )
        (directory / "plugins").write_text("[].\n")
        self.server = Server(
            [str(_home() / "sbin" / "rabbitmq-server")],
            port,
            directory / "rabbitmq.log",
            installing.environment(
                HOME=str(directory),
                ERL_EPMD_PORT=str(names_port),
                ERL_EPMD_ADDRESS="127.0.0.1",
                RABBITMQ_NODENAME=f"bench{port}@localhost",
                RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
                RABBITMQ_NODE_PORT=str(port),
                RABBITMQ_DIST_PORT=str(spare_port()),
                RABBITMQ_MNESIA_BASE=str(directory / "data"),
                RABBITMQ_LOG_BASE=str(directory / "log"),
                RABBITMQ_ENABLED_PLUGINS_FILE=str(directory / "plugins"),
                RABBITMQ_CONFIG_FILE=str(directory / "none"),
                RABBITMQ_CONF_ENV_FILE=str(directory / "none-env.conf"),
            ),
        )

    def stop(self) -> None:
        super().stop()
        if self._names is not None:
            self._names.stop()
            self._names = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"amqp://guest:guest@127.0.0.1:{self.server.port}/%2F"


def _say_where_erlang_is() -> None:
    """Its script has the place written into it where the package would have been installed."""
    script = Path(installing.binary(f"{ERLANG}/bin/erl"))
    home = script.parents[1]
    if home != Path(ERLANG):
        script.write_text(script.read_text().replace(f"ROOTDIR={ERLANG}\n", f"ROOTDIR={home}\n"))


def _home() -> Path:
    return next(Path(installing.binary(SERVER)).glob("rabbitmq_server-*"))
