"""Filling the engine's environment with pip: its command, its way to the network, its progress and its failures."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from qgis.core import QgsNetworkAccessManager, QgsProcessingException, QgsProcessingFeedback
from qgis.PyQt.QtCore import QProcessEnvironment, QUrl
from qgis.PyQt.QtNetwork import QNetworkProxy

from .. import settings
from . import locator, process
from .environment import clean_environment
from .interpreters import BasePython

#: Settings of pip that say how to reach packages; an institution sets them, and only pip itself gets them.
_CONNECTION = (
    "PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE", "PIP_DEFAULT_TIMEOUT", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS",
    "PIP_INDEX_URL", "PIP_NO_INDEX", "PIP_PROXY", "PIP_RETRIES", "PIP_TRUSTED_HOST",
)

#: Packages that the requirements pull in, all together, without and with the networks: the measure of pip's progress.
_EXPECTED_PACKAGES = {False: 32, True: 75}

#: What pip prints when it fails, and what that means. The first match counts: pip also says that nothing matches the
#: requirements after it failed to reach the network.
_FAILURES = (
    (r"No space left on device|Errno 28|WinError 112",
     "the disk of the engine's folder is full; free some space, or choose another folder in {page}"),
    (r"CERTIFICATE_VERIFY_FAILED|SSLError",
     "the secure connection was refused, as it is where a company inspects its network; set PIP_CERT to the company's "
     "certificate, or install from a folder of wheels"),
    (r"ProxyError|Tunnel connection failed",
     "the proxy refused the connection; correct it in Settings ▸ Options ▸ Network, or install from a folder of "
     "wheels"),
    (r"Failed to establish a new connection|NewConnectionError|name resolution|getaddrinfo failed|ConnectTimeout"
     r"|ReadTimeout|Network is unreachable|Connection refused|Max retries exceeded",
     "the package index cannot be reached; check the network and the proxy in Settings ▸ Options ▸ Network, or install "
     "from a folder of wheels"),
    (r"WinError 5\b|WinError 32|Permission denied|Errno 13",
     "a file of the environment is locked or not writable; close programs that scan it, or choose another folder in "
     "{page}"),
    (r"No matching distribution found for (?P<name>\S+)",
     "there is no ready-made package of '{name}' for this computer in {source}; try another Python, or another source"),
)


@dataclass(frozen=True)
class Choice:
    """What to install: the networks' packages too or not, and from where.

    ``wheels_folder`` has all wheels, for an installation without network; ``torch_index`` is the address of a further
    index, where PyTorch has builds for a certain kind of card or for none.
    """

    networks: bool = False
    wheels_folder: str = ""
    torch_index: str = ""

    def sources(self) -> list[str]:
        """Where pip looks for packages."""
        if self.wheels_folder:
            return ["--no-index", "--find-links", self.wheels_folder]
        return ["--extra-index-url", self.torch_index] if self.networks and self.torch_index else []


def install(base: BasePython, python: str, choice: Choice, feedback: QgsProcessingFeedback) -> None:
    """Install the engine's packages into the environment of ``python``, with progress from 0 to 90.

    pip is the one that ``base`` carries, run from its wheel: the environment holds the engine's packages alone, and
    no process other than pip has to be stopped on a cancel. Packages are never compiled on the user's computer.

    Raises
    ------
    QgsProcessingException
        pip failed, or the user cancelled.
    """
    files = [part for file in locator.requirement_files(choice.networks) for part in ("-r", str(file))]
    command = [
        python, os.path.join(base.pip, "pip"), "install", "--no-input", "--disable-pip-version-check", "--no-compile",
        "--no-user", "--progress-bar", "off", "--only-binary", ":all:", *choice.sources(), *files,
    ]
    output: list[str] = []

    def take(line: str) -> None:
        output.append(line)
        feedback.pushConsoleInfo(line)
        feedback.setProgress(_progress(output, _EXPECTED_PACKAGES[choice.networks]))

    folder = str(Path(python).parent)
    ended = process.run(command, folder, _pip_environment(feedback), take, feedback, grace_s=0.0, merged=True)
    if ended.crashed or ended.code != 0:
        raise QgsProcessingException(f"The packages cannot be installed: {explain(output, choice.wheels_folder)}.")


def explain(output: list[str], wheels_folder: str) -> str:
    """Why pip failed, from its output, and what to do."""
    text = "\n".join(output)
    source = f"'{wheels_folder}'" if wheels_folder else "the package index"
    for pattern, meaning in _FAILURES:
        match = re.search(pattern, text)
        if match:
            return meaning.format(page=settings.PAGE, source=source, **match.groupdict())
    errors = [line for line in output if line.startswith("ERROR")] or output[-1:]
    said = errors[-1].rstrip(".") if errors else "nothing"
    return f"pip failed and said '{said}'; the log has the whole story"


def _progress(output: list[str], expected: int) -> int:
    """Per cent of the installation, from the lines that pip has printed."""
    if output[-1].startswith("Installing collected packages"):
        return 70
    if output[-1].startswith("Successfully installed"):
        return 90
    found = sum(line.startswith(("Collecting", "Processing")) for line in output)
    return min(70 * found // expected, 70)


def _pip_environment(feedback: QgsProcessingFeedback) -> QProcessEnvironment:
    """The cleaned environment, with the user's own settings of pip's connection and the proxy of QGIS."""
    environment = clean_environment()
    for name in _CONNECTION:
        if name in os.environ:
            environment.insert(name, os.environ[name])
    manager = QgsNetworkAccessManager.instance()
    proxy = manager.fallbackProxy()
    if proxy.type() in (QNetworkProxy.ProxyType.HttpProxy, QNetworkProxy.ProxyType.HttpCachingProxy):
        for name in ("http_proxy", "https_proxy"):
            environment.remove(name.upper())
            environment.insert(name, _address(proxy))
        if manager.excludeList():
            environment.insert("no_proxy", ",".join(manager.excludeList()))
    elif proxy.type() == QNetworkProxy.ProxyType.Socks5Proxy:
        feedback.pushWarning("The SOCKS proxy of QGIS is not used, because pip works with HTTP proxies only.")
    return environment


def _address(proxy: QNetworkProxy) -> str:
    """The proxy as a URL, with its user and password where it has them."""
    url = QUrl()
    url.setScheme("http")
    url.setHost(proxy.hostName())
    url.setPort(proxy.port())
    url.setUserName(proxy.user())
    url.setPassword(proxy.password())
    return bytes(url.toEncoded()).decode("ascii")
