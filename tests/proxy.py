"""A site whose only way out is a proxy: Debian's tinyproxy as a process, and an authority that signs for servers.

What comes through the proxy comes from another address than what goes past it: a server can tell the two apart.
"""

import asyncio
import re
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TINYPROXY = shutil.which("tinyproxy") or next(
    (path for path in ("/usr/sbin/tinyproxy", "/usr/bin/tinyproxy") if Path(path).exists()), ""
)
OUTSIDE = "127.0.0.2"
"""The address from which the proxy calls servers."""
_CONFIG = """
Port {port}
Listen 127.0.0.1
Bind {outside}
Timeout {idle}
MaxClients 100
LogFile "{log}"
LogLevel Connect
BasicAuth ana secret
DisableViaHeader Yes
"""


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A running tinyproxy that asks for a user."""

    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://ana:secret@127.0.0.1:{self.port}"

    def asked_for(self) -> list[str]:
        """Return what it was asked for, in order: "CONNECT localhost:443", "GET http://…"."""
        text = self.log.read_text() if self.log.exists() else ""
        return [" ".join(found) for found in re.findall(r"Request \(file descriptor \d+\): (\S+) (\S+)", text)]


@asynccontextmanager
async def run_proxy(folder: Path, *, idle: int = 60, outside: str = OUTSIDE) -> AsyncIterator[Proxy]:
    """Run a proxy that cuts what was quiet for `idle` seconds."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    proxy = Proxy(port=port, log=folder / f"proxy-{port}.log")
    config = folder / f"proxy-{port}.conf"
    bind = _CONFIG if outside else _CONFIG.replace("Bind {outside}\n", "")
    config.write_text(bind.format(port=port, outside=outside, idle=idle, log=proxy.log))
    process = await asyncio.create_subprocess_exec(
        TINYPROXY, "-d", "-c", config, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(5):
            while not await _answers(port):
                await asyncio.sleep(0.01)
        yield proxy
    finally:
        process.kill()
        await process.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


@dataclass(kw_only=True)
class Served:
    """A server that listens; `callers` are the addresses that called it, `paths` what they called for."""

    url: str
    callers: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@asynccontextmanager
async def serve(
    app: web.Application, trust: ssl.SSLContext | None = None, *, host: str = "127.0.0.1", name: str = "localhost"
) -> AsyncIterator[Served]:
    """Serve as `name`, with TLS where a context is given."""
    served = Served(url="")

    @web.middleware
    async def note(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        served.callers.append(request.remote or "")
        served.paths.append(request.path)
        return await handler(request)

    app.middlewares.append(note)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, 0, ssl_context=trust).start()
    served.url = f"{'https' if trust else 'http'}://{name}:{runner.addresses[0][1]}"
    try:
        yield served
    finally:
        await runner.cleanup()


@dataclass(frozen=True, kw_only=True)
class Authority:
    """A certificate authority that only `ca_file` knows, and what a server of its shows."""

    ca_file: Path
    server: ssl.SSLContext


def make_authority(folder: Path) -> Authority:
    """Make an authority, and a certificate for this machine under each of its names."""
    key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority of this test")])
    names = [x509.DNSName("localhost"), *(x509.IPAddress(ip_address(one)) for one in ("127.0.0.1", "::1"))]
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    own = _certificate(issuer, issuer, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    own = own.add_extension(usage, critical=True)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    shown = _certificate(issuer, subject, server_key).add_extension(x509.SubjectAlternativeName(names), critical=False)
    ca_file, chain = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(own.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    secret = server_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain.write_bytes(secret + shown.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    return Authority(ca_file=ca_file, server=context)


def _certificate(issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    public = key.public_key()
    made = x509.CertificateBuilder().issuer_name(issuer).subject_name(subject).public_key(public)
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=1))


@contextmanager
def _closing(writer: asyncio.StreamWriter) -> Iterator[None]:
    try:
        yield
    finally:
        writer.close()


@dataclass(kw_only=True)
class Line:
    """The line to a proxy: each chunk takes `delay` seconds."""

    port: int
    delay: float = 0.0
    _ends: list[asyncio.StreamWriter] = field(default_factory=list)
    _dead: set[asyncio.StreamWriter] = field(default_factory=set)

    def carries_to(self, end: asyncio.StreamWriter) -> bool:
        return end not in self._dead

    @property
    def url(self) -> str:
        return f"http://ana:secret@127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End every connection at once."""
        for end in self._ends:
            end.transport.abort()
        self._ends.clear()

    def die(self) -> None:
        """Let every connection that is open now stay so, and carry nothing ever again."""
        self._dead.update(self._ends)


@asynccontextmanager
async def lay_line(target: int, *, delay: float = 0.0) -> AsyncIterator[Line]:
    """Lay a line to a port of this machine."""
    line = Line(port=0, delay=delay)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with _closing(writer):
            while chunk := await reader.read(65536):
                await asyncio.sleep(line.delay)
                if line.carries_to(writer):
                    writer.write(chunk)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        line._ends += [writer, far_writer]
        with suppress(asyncio.CancelledError):
            await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        line.cut()
        server.close()
        await server.wait_closed()
